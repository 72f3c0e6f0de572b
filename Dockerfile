# A peer on the CPU, and on Intel's and AMD's GPUs by their render nodes (Quick
# Sync, VA-API). For NVIDIA's GPUs: Dockerfile.cuda.
#
#   docker build -t millrace .
#   docker run --device /dev/dri --group-add "$(stat -c %g /dev/dri/renderD128)" …

FROM golang:1.26-trixie AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /millrace ./cmd/millrace

FROM debian:trixie-slim
# intel-media-va-driver and libmfx-gen1.2 are VA-API and Quick Sync on Intel,
# mesa-va-drivers is VA-API on AMD.
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
    ca-certificates ffmpeg intel-media-va-driver libmfx-gen1.2 libvpl2 mesa-va-drivers \
 && rm -rf /var/lib/apt/lists/*
# /data is a peer's state, keys and scratch files: a local disk of its own.
RUN useradd --system --uid 10001 --create-home --home-dir /data --shell /usr/sbin/nologin millrace
COPY --from=build /millrace /usr/local/bin/millrace
USER 10001
VOLUME /data
ENV MILLRACE_DATA=/data MILLRACE_HTTP=0.0.0.0:8080 MILLRACE_GOSSIP=0.0.0.0:7946 MILLRACE_RAFT=0.0.0.0:7947
# The API; gossip by both protocols; the log.
EXPOSE 8080 7946 7946/udp 7947
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/millrace"]
CMD ["serve"]
