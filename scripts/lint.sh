#!/usr/bin/env bash
# lint.sh: every check of the sources, all of them even when one fails.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/say.sh
source scripts/say.sh

# golangci-lint runs staticcheck's own code, of this release: see staticcheck_whole.
staticcheck=v0.8.2
golangci=github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
govulncheck=golang.org/x/vuln/cmd/govulncheck@v1.9.0

failed=()

# check NAME COMMAND…: runs one check and remembers whether it failed.
check() {
	local name=$1
	shift
	say "$name"
	"$@" || failed+=("$name")
}

# check_with MODULE@VERSION COMMAND…: a check by a Go program of that version.
check_with() {
	local name
	name=$(basename "${1%@*}")
	if go_tool "$name" "$1"; then
		check "$name" "${@:2}"
	else
		warn "$name COULD NOT BE BUILT AND WAS SKIPPED: its findings are unknown"
	fi
}

formatted() {
	local f files
	files=$(git ls-files -co --exclude-standard -- '*.go' 2>/dev/null || find . -name '*.go' -not -path './.tools/*')
	# Deleted ones are still listed. Our file names have no blanks.
	files=$(for f in $files; do [[ ! -f $f ]] || echo "$f"; done | xargs gofmt -s -l) || return 1
	[[ -z $files ]] || { printf 'not formatted (run gofmt -s -w):\n%s\n' "$files" >&2; return 1; }
}

# contents lists every file that git knows or would take, with its checksum.
contents() { git ls-files -co --exclude-standard -z | xargs -0 sha256sum 2>/dev/null || true; }

generated_fresh() {
	local before
	before=$(contents)
	go generate ./...
	diff <(printf '%s\n' "$before") <(contents) >&2 ||
		{ echo "generated files were stale; they are fresh now: commit them" >&2; return 1; }
}

# staticcheck_whole fails unless golangci-lint, as .golangci.yml sets it up,
# runs every check that the program staticcheck of that release runs when it is
# told nothing. What it then leaves out is in by_request (QF are rewrites that
# it offers to editors); U1000 is golangci-lint's linter unused.
staticcheck_whole() {
	local by_request='ST1000|ST1003|ST1016|ST1020|ST1021|ST1022|ST1023|SA9003|QF[0-9]+'
	local release told all enabled missing
	release=$(go version -m .tools/bin/golangci-lint | awk '$2 == "honnef.co/go/tools" { print $3 }')
	[[ $release == "$staticcheck" ]] ||
		{ echo "golangci-lint has staticcheck ${release:-of no release}, not $staticcheck" >&2; return 1; }
	told=$(GL_DEBUG=staticcheck .tools/bin/golangci-lint linters 2>&1) || { printf '%s\n' "$told" >&2; return 1; }
	enabled=$(sed '/^Disabled by/,$d' <<<"$told")
	grep -q '^staticcheck: ' <<<"$enabled" && grep -q '^unused: ' <<<"$enabled" ||
		{ echo "the linters staticcheck and unused must both be enabled in .golangci.yml" >&2; return 1; }
	all=$(checks 'All available' <<<"$told") && enabled=$(checks 'Enabled by config' <<<"$told") || return 1
	missing=$(comm -23 <(echo "$all") <(echo "$enabled") | grep -vxE "$by_request" || true)
	[[ -z $missing ]] || { echo "checks of staticcheck that .golangci.yml disables: ${missing//$'\n'/ }" >&2; return 1; }
}

# checks lists the checks that golangci-lint's debug output tells of under a title.
checks() {
	local list
	list=$(sed -n "s/.*$1 checks ([0-9]*): \([A-Z0-9,]*\).*/\1/p")
	[[ -n $list ]] || { echo "golangci-lint said nothing of \"$1 checks\"" >&2; return 1; }
	tr , '\n' <<<"$list" | sort
}

vulnerabilities() {
	local out code=0
	out=$(.tools/bin/govulncheck ./... 2>&1) || code=$?
	case $code in
	0) ;;
	3) printf '%s\n' "$out" >&2; return 1 ;;
	*)
		if grep -qiE 'dial tcp|no such host|fetching vulnerab|i/o timeout|connection refused|HTTP GET|proxyconnect|forbidden' <<<"$out"; then
			warn "THE VULNERABILITY DATABASE CAN'T BE REACHED: known vulnerabilities were not looked for"
			tail -n 3 <<<"$out" >&2
		else
			printf '%s\n' "$out" >&2
			return 1
		fi
		;;
	esac
}

check "gofmt" formatted
check "go vet" go vet ./...
# Without a C compiler the NVIDIA driver can't be asked, and all else works.
# What has another file then is vetted, what uses it is compiled.
check "build without cgo" env CGO_ENABLED=0 go build ./...
check "vet without cgo" env CGO_ENABLED=0 go vet ./hwaccel
# golangci-lint's linters staticcheck and unused stand for the program staticcheck.
check_with "$golangci" .tools/bin/golangci-lint run ./...
[[ ! -x .tools/bin/golangci-lint ]] || check "staticcheck is whole in golangci-lint" staticcheck_whole
check_with "$govulncheck" vulnerabilities
if git rev-parse --git-dir >/dev/null 2>&1; then
	check "generated files" generated_fresh
else
	warn "NO GIT CHECKOUT: whether generated files are fresh was not checked"
fi

if ((${#failed[@]})); then
	die "failed: $(IFS=,; echo "${failed[*]}")"
fi
say "lint is clean"
