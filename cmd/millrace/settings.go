package main

import (
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"millrace/job"
	"millrace/node"
)

//go:generate go test -count=1 -run TestSettingsPageIsFresh . -update

// Settings is everything that an operator can set of a peer. Each field is a
// flag of serve, an environment variable (MILLRACE_ and the flag's name) and a
// key of the YAML file that --config names; a flag counts before a variable,
// a variable before the file, the file before the default. docs/settings.md is
// made from this struct.
type Settings struct {
	Config string `group:"peer" placeholder:"FILE" help:"YAML file with settings; its keys are the names of these flags."`

	Data   string `group:"peer" default:"millrace-data" placeholder:"DIR" help:"Folder of the peer's state, keys and scratch files; made when it isn't there. Must be a local disk."`
	HTTP   string `name:"http" group:"peer" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Address of the REST API."`
	Gossip string `group:"peer" default:"127.0.0.1:7946" placeholder:"HOST:PORT" help:"Address (UDP and TCP) by which peers find each other."`
	Raft   string `group:"peer" default:"127.0.0.1:7947" placeholder:"HOST:PORT" help:"Address by which peers agree."`

	Expect    int      `group:"cluster" default:"0" placeholder:"N" help:"How many peers with empty data folders form a cluster, as soon as they see each other; 3 or 5, the same on each. 0: this peer alone is a cluster, or joins the one that --join names. Means nothing to a peer that is in a cluster."`
	Join      []string `group:"cluster" placeholder:"HOST:PORT" help:"Gossip address of another peer, any of them (this one may be among them); repeat for more, or separate by commas. Port 7946 when it names none."`
	Advertise string   `group:"cluster" placeholder:"HOST" help:"Host that other peers are told to reach this one at, where --http, --gossip or --raft listen on all addresses (0.0.0.0, ::)."`
	Bundle    string   `group:"cluster" placeholder:"DIR" help:"Folder of the cluster's certificates and keys, made by \"millrace cluster\". None: peers talk unencrypted and trust their network."`
	MaxVoters int      `group:"cluster" default:"5" placeholder:"N" help:"How many peers hold the log and vote; the same on each. Further peers work and serve the API."`

	SourceRoot          []string       `group:"access" placeholder:"DIR" help:"Folder under which file:// sources may be read; repeat for more, or separate by commas. None: no file sources."`
	OutputRoot          []string       `group:"access" placeholder:"DIR" help:"Folder under which file:// outputs may be written; repeat for more, or separate by commas. None: no file outputs."`
	AllowSourceNetwork  []netip.Prefix `group:"access" placeholder:"CIDR" help:"Private, loopback or otherwise reserved network that sources and the S3 endpoints of jobs may lie in; repeat for more, or separate by commas. None: public addresses only."`
	AllowWebhookNetwork []netip.Prefix `group:"access" placeholder:"CIDR" help:"The same for webhooks."`
	MaxSourceBytes      ByteSize       `group:"access" default:"1TiB" placeholder:"SIZE" help:"Largest source that is accepted."`
	SourceCAFile        string         `name:"source-ca-file" group:"access" placeholder:"FILE" help:"PEM file of certificate authorities to trust for sources, besides the system's."`

	FFmpeg            string         `name:"ffmpeg" group:"work" default:"ffmpeg" placeholder:"PATH" help:"The ffmpeg to run: a path, or a name to look for in PATH."`
	FFprobe           string         `name:"ffprobe" group:"work" default:"ffprobe" placeholder:"PATH" help:"The ffprobe to run."`
	Label             []string       `group:"work" placeholder:"LABEL" help:"What jobs can require of this machine, like ssd or site=paris; repeat for more, or separate by commas."`
	Taint             []string       `group:"work" placeholder:"LABEL" help:"Label that a job must require to be worked on here: it keeps this machine for such jobs. Of several it must require all; repeat for more, or separate by commas."`
	WorkHours         node.WorkHours `group:"work" placeholder:"HOURS" help:"When this machine takes work, by its own clock and time zone, like \"Mon-Fri 19:00-07:00,Sat-Sun\"; what runs at the end goes on. None: always."`
	Slots             int            `group:"work" default:"0" placeholder:"N" help:"Encode tasks that run at once on the CPU; 0: as many as it has cores for."`
	CacheBytes        ByteSize       `group:"work" default:"8GiB" placeholder:"SIZE" help:"Disk space for blocks of sources, under the data folder."`
	FirstFrameTimeout time.Duration  `group:"work" default:"2m" placeholder:"TIME" help:"How long ffmpeg may take to its first frame before it is killed and the task tried again."`
	StallTimeout      time.Duration  `group:"work" default:"1m" placeholder:"TIME" help:"How long ffmpeg may make no progress before it is killed and the task tried again."`
	TransferTimeout   time.Duration  `group:"work" default:"30s" placeholder:"TIME" help:"How long a transfer from or to a store may stand still before it is cut and tried again."`
	DrainTimeout      time.Duration  `group:"work" default:"30s" placeholder:"TIME" help:"How long running tasks may go on after SIGTERM before they are stopped; they are done again after the next start."`

	S3Endpoint  string `name:"s3-endpoint" group:"s3" placeholder:"URL" help:"Endpoint of s3:// URLs that name none; none: AWS. It may lie in any network."`
	S3Region    string `name:"s3-region" group:"s3" placeholder:"NAME" help:"Region of s3:// URLs that name none."`
	S3PathStyle *bool  `name:"s3-path-style" group:"s3" negatable:"" help:"Put the bucket into the path rather than the host; default: only with --s3-endpoint."`
	S3AccessKey string `name:"s3-access-key" group:"s3" placeholder:"KEY" help:"Access key for s3:// URLs without one; none: AWS's own chain (environment, files, instance role)."`
	S3SecretKey string `name:"s3-secret-key" group:"s3" placeholder:"KEY" help:"Secret key. Give it by MILLRACE_S3_SECRET_KEY or the file: other users of the machine can read a command line."`
	S3CAFile    string `name:"s3-ca-file" group:"s3" placeholder:"FILE" help:"PEM file of certificate authorities to trust for the endpoint, besides the system's."`

	KeepJobs       int           `group:"upkeep" default:"100000" placeholder:"N" help:"Ended jobs that are remembered; the oldest beyond are forgotten. 0: any number. Outputs stay."`
	KeepDays       int           `group:"upkeep" default:"90" placeholder:"N" help:"Days for which ended jobs are remembered. 0: for ever."`
	WebhookTimeout time.Duration `group:"upkeep" default:"30s" placeholder:"TIME" help:"How long a webhook's endpoint may take to answer."`
	LogLevel       string        `group:"upkeep" default:"info" enum:"debug,info,warn,error" placeholder:"LEVEL" help:"What is logged: debug, info, warn or error, and what is worse."`
	LogFormat      string        `group:"upkeep" default:"text" enum:"text,json" placeholder:"FORMAT" help:"How it is logged, to standard error: text or json."`
}

// settingsGroups are the headings of serve's help and of docs/settings.md.
var settingsGroups = []kong.Group{
	{Key: "peer", Title: "The peer"},
	{Key: "cluster", Title: "The cluster"},
	{Key: "access", Title: "What jobs may reach"},
	{Key: "work", Title: "Work"},
	{Key: "s3", Title: "S3 storage"},
	{Key: "upkeep", Title: "Upkeep"},
	{Key: "server", Title: "Server"},
}

// Validate checks what a single flag's type can't. It is called by kong.
func (s *Settings) Validate() error {
	for name, value := range map[string]int{"slots": s.Slots, "keep-jobs": s.KeepJobs, "keep-days": s.KeepDays} {
		if value < 0 {
			return usagef("--%s is %d: it can't be less than 0", name, value)
		}
	}
	for name, value := range map[string]time.Duration{
		"first-frame-timeout": s.FirstFrameTimeout, "stall-timeout": s.StallTimeout,
		"transfer-timeout": s.TransferTimeout, "webhook-timeout": s.WebhookTimeout,
	} {
		if value <= 0 {
			return usagef("--%s is %s: it must be more than 0", name, value)
		}
	}
	if s.DrainTimeout < 0 {
		return usagef("--drain-timeout is %s: it can't be less than 0", s.DrainTimeout)
	}
	if (s.S3AccessKey == "") != (s.S3SecretKey == "") {
		return usagef("--s3-access-key and --s3-secret-key are needed together: one of them is missing")
	}
	if s.Data == "" {
		return usagef("--data is empty: name the folder of the peer's state")
	}
	for flag, labels := range map[string][]string{"label": s.Label, "taint": s.Taint} {
		for _, label := range labels {
			if !job.ValidLabel(label) {
				return usagef("--%s is %q: it must be lower-case, like ssd or site=paris, and none of %s", flag, label, strings.Join(job.EncoderKinds, ", "))
			}
		}
	}
	if len(s.Taint) > job.MaxRequired {
		return usagef("--taint names %d labels, and a job can require only %d: none would ever be worked on here", len(s.Taint), job.MaxRequired)
	}
	return s.checkCluster()
}

// environmentName is the variable of a flag: MILLRACE_ and its name.
func environmentName(flag string) string {
	return "MILLRACE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// nameSettingsEnvironment gives each setting of serve its variable.
func nameSettingsEnvironment(k *kong.Kong) error {
	for _, command := range k.Model.Children {
		if command.Target.Type() != reflect.TypeFor[serveCommand]() {
			continue
		}
		for _, flag := range command.Flags {
			name := environmentName(flag.Name)
			flag.Envs = append(flag.Envs, name)
			flag.Tag.Envs = append(flag.Tag.Envs, name)
		}
	}
	return nil
}
