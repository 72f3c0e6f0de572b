package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// instruction is a line of a Dockerfile, with those that continue it.
type instruction struct{ name, text string }

func readDockerfile(t *testing.T, name string) []instruction {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	var list []instruction
	held := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(strings.TrimSpace(line), "#") || strings.TrimSpace(line) == "" {
			continue
		}
		if part, more := strings.CutSuffix(line, `\`); more {
			held += part
			continue
		}
		word, rest, _ := strings.Cut(held+line, " ")
		held = ""
		list = append(list, instruction{word, strings.TrimSpace(rest)})
	}
	if held != "" {
		t.Errorf("%s ends in the middle of an instruction", name)
	}
	return list
}

var knownInstructions = []string{"FROM", "WORKDIR", "COPY", "RUN", "ARG", "ENV", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"}

// pinned is an image with a tag that says a version.
var pinned = regexp.MustCompile(`^[a-z0-9/]+:[a-z0-9.-]*(\d|trixie)[a-z0-9.-]*$`)

func TestImagesAreBuiltAsTheyShouldBe(t *testing.T) {
	for _, name := range []string{"Dockerfile", "Dockerfile.cuda"} {
		t.Run(name, func(t *testing.T) {
			list := readDockerfile(t, name)
			last := 0
			for i, line := range list {
				if !slices.Contains(knownInstructions, line.name) {
					t.Errorf("unknown instruction %s", line.name)
				}
				switch line.name {
				case "FROM":
					last = i
					image, _, _ := strings.Cut(line.text, " ")
					if !pinned.MatchString(image) || strings.HasSuffix(image, ":latest") {
						t.Errorf("the base %q is not one version", image)
					}
				case "ENTRYPOINT", "CMD":
					if !strings.HasPrefix(line.text, "[") {
						t.Errorf("%s is run by a shell, which gets the signals: %s", line.name, line.text)
					}
				case "RUN":
					if strings.Contains(line.text, "apt-get install") &&
						(!strings.Contains(line.text, "--no-install-recommends") || !strings.Contains(line.text, "rm -rf /var/lib/apt/lists/*") || !strings.Contains(line.text, "apt-get update")) {
						t.Errorf("packages are installed from an old list, with more than is needed, or leave their lists behind: %s", line.text)
					}
				}
			}
			stage := list[last:]
			user := lastOf(stage, "USER")
			if user == "" || user == "0" || user == "root" {
				t.Errorf("it runs as %q", user)
			}
			install := slices.IndexFunc(stage, func(i instruction) bool { return i.name == "RUN" && strings.Contains(i.text, " ffmpeg") })
			if install < 0 {
				t.Error("ffmpeg is not installed")
			}
			environment := ""
			for _, line := range stage {
				if line.name == "ENV" {
					environment += " " + line.text
				}
			}
			for _, want := range []string{"MILLRACE_DATA=/data", "MILLRACE_HTTP=0.0.0.0:8080"} {
				if !strings.Contains(environment, want) {
					t.Errorf("no %s", want)
				}
			}
			if name == "Dockerfile.cuda" && !strings.Contains(environment, "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video") {
				t.Error("the driver's encoder and decoder libraries are not asked for")
			}
			for _, variable := range regexp.MustCompile(`MILLRACE_[A-Z_]+`).FindAllString(environment, -1) {
				checkVariable(t, variable)
			}
			if lastOf(stage, "VOLUME") != "/data" || lastOf(stage, "ENTRYPOINT") != `["/usr/local/bin/millrace"]` {
				t.Errorf("data lies in %s, the entry point is %s", lastOf(stage, "VOLUME"), lastOf(stage, "ENTRYPOINT"))
			}
		})
	}
}

// lastOf is the text of a stage's last instruction of a name.
func lastOf(stage []instruction, name string) string {
	text := ""
	for _, line := range stage {
		if line.name == name {
			text = line.text
		}
	}
	return text
}

// checkVariable fails for a variable that serve doesn't read.
func checkVariable(t *testing.T, name string) {
	t.Helper()
	help := millrace(t, "serve", "--help").out
	if !strings.Contains(strings.Join(strings.Fields(help), " "), "($"+name+")") {
		t.Errorf("serve reads no %s", name)
	}
}

func TestComposeFileNamesSettingsThatThereAre(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	variables := regexp.MustCompile(`MILLRACE_[A-Z_]+`).FindAllString(string(text), -1)
	slices.Sort(variables)
	for _, name := range slices.Compact(variables) {
		checkVariable(t, name)
	}
	if peers := strings.Count(string(text), "driver: nvidia"); peers != 3 {
		t.Errorf("%d peers have a GPU, want 3", peers)
	}
	for _, host := range []string{".io/", ".com/", "https://"} {
		if strings.Contains(string(text), host) {
			t.Errorf("a registry is named: %s", host)
		}
	}
}
