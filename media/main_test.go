package media

import (
	"testing"

	"go.uber.org/goleak"

	"millrace/media/ffmpeg"
)

func TestMain(m *testing.M) {
	ffmpeg.MaybeRunSandbox()
	goleak.VerifyTestMain(m)
}
