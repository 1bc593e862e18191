# docker build -t accountservice:1.2.3 .
#
# The programs know their version from VERSION, or without it from git's files
# (version.sh). A Dockerfile cannot compute labels: those are of VERSION,
# REVISION and CREATED alone, which make image gives.
#
# No RUN --mount, no --start-interval, no platform variables: the file builds
# with BuildKit and with the classic builder of old engines alike.

# A site with a mirror gives its own name for the same image.
ARG GO_IMAGE=golang:1.26

FROM ${GO_IMAGE} AS build
WORKDIR /src

# A site with its own module proxy names it when it builds; unset is Go's default.
ARG GOPROXY

# Modules change less often than code: their layer stays while go.mod does.
COPY go.mod go.sum ./
RUN go mod download

COPY . .
ARG VERSION=
# Static and bit for bit the same from the same source, wherever and whenever it
# is built: no C library, paths, build id or VCS state in the binaries. The tag
# is that of the Makefile. Nobody reads the cache again, and storing it as a layer
# takes its time.
RUN CGO_ENABLED=0 go build -tags=nomsgpack -trimpath -buildvcs=false \
        -ldflags "-s -w -buildid= -X main.stamped=${VERSION:-$(sh ./version.sh)}" \
        -o /out/ ./cmd/accountservice ./healthchecker \
 && mkdir /out/data \
 && go clean -cache

FROM scratch

# Roots for checks of https and tls dependencies.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# A new named volume takes over this directory's owner. There is no VOLUME line on
# purpose: with it a forgotten mount gets an anonymous volume, which is destroyed
# with its Swarm task, accounts and all.
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build /src/LICENSE /src/THIRD_PARTY /licenses/
COPY --from=build /out/accountservice /out/healthchecker /

# All addresses: a published port leads to those of the container, not to its loopback.
# warn: a container without a volume there is told apart from a healthy one.
# EXPOSED_PORT is not a setting: the log warns if http.port differs from it. Keep it equal to EXPOSE.
ENV ACCOUNTSERVICE_HTTP_HOST=0.0.0.0 \
    ACCOUNTSERVICE_STORE_BOLT_PATH=/data/accounts.db \
    ACCOUNTSERVICE_STORE_BOLT_VOLUME=warn \
    ACCOUNTSERVICE_EXPOSED_PORT=6767
WORKDIR /data
# By number, so that runAsNonRoot rules can check it; no passwd file is needed.
USER 65532:65532
EXPOSE 6767
STOPSIGNAL SIGTERM

# Exec form with an absolute path: there is no shell here. The probe gives up by
# itself after 2s, so that the engine never has to kill it without a reason.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
    CMD ["/healthchecker"]
ENTRYPOINT ["/accountservice"]

# Last, because they change with every build.
ARG VERSION= REVISION= CREATED=
LABEL org.opencontainers.image.title="accountservice" \
      org.opencontainers.image.description="Accounts over HTTP, with a health check that Docker Swarm can act on" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
