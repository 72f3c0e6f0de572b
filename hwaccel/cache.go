package hwaccel

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
)

// cacheVersion goes up when what is measured, or how, changes.
const cacheVersion = 3

// cacheFile is the profiles of a machine's devices as they lie on its disk.
type cacheFile struct {
	Version  int                `json:"version"`
	Profiles map[string]Profile `json:"profiles"` // by cacheKey
}

// maxCached bounds the file: each driver or ffmpeg update leaves an old profile.
const maxCached = 64

// cacheKey names what a measurement holds for.
func cacheKey(device Device, room Room, build string) string {
	return device.ID + "|" + device.Name + "|" + device.Driver + "|" + strconv.Itoa(room.Threads) + "|" + build
}

// readCache reads the profiles that were kept. A file that isn't there, or is of
// another version, has none.
func readCache(name string) (map[string]Profile, error) {
	if name == "" {
		return nil, nil
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var file cacheFile
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if file.Version != cacheVersion {
		return nil, nil
	}
	return file.Profiles, nil
}

// writeCache adds a profile to those that were read, and replaces the file at
// once and for good: a power cut leaves the old file or the new one.
func writeCache(name, key string, profile Profile, others map[string]Profile) (err error) {
	if name == "" {
		return nil
	}
	file := cacheFile{Version: cacheVersion, Profiles: map[string]Profile{key: profile}}
	if len(others) < maxCached {
		for k, p := range maps.All(others) {
			if k != key {
				file.Profiles[k] = p
			}
		}
	}
	text, err := json.MarshalIndent(file, "", "\t")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = temporary.Close()
			_ = os.Remove(temporary.Name())
		}
	}()
	if _, err = temporary.Write(append(text, '\n')); err != nil {
		return err
	}
	if err := temporary.Sync(); err != nil {
		return err
	}
	if err := temporary.Close(); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), name)
}
