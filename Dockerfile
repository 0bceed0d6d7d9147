# The images, for those who build with a container engine:
#
#   docker build --target manager -t localhost/streamgateway/manager:dev .
#   docker build --target gateway -t localhost/streamgateway/gateway:dev .
#   docker build --target demo    -t localhost/streamgateway/demo:dev .
#
# (and nats, the server of the end-to-end suite). `make image` makes the same
# images without an engine. Each holds one static program and nothing else, and
# runs it as user 65532.
ARG GO_VERSION=1.26
FROM --platform=$BUILDPLATFORM golang:${GO_VERSION} AS build
WORKDIR /src
ARG TARGETOS TARGETARCH VERSION=dev
ENV CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH GOFLAGS="-trimpath -buildvcs=false"
COPY go.mod go.sum ./
COPY hack/demo/go.mod hack/demo/go.sum hack/demo/
RUN --mount=type=cache,target=/go/pkg/mod go mod download && cd hack/demo && go mod download
COPY . .
RUN mkdir -p /out/tmp && chmod 1777 /out/tmp

FROM build AS build-manager
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go build -ldflags "-s -w -X main.version=$VERSION" -o /out/manager ./controllers/cmd/manager

FROM build AS build-gateway
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go build -ldflags "-s -w -X main.version=$VERSION" -o /out/gateway ./gateway/cmd/gateway

FROM build AS build-demo
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go build -C hack/demo -ldflags "-s -w -X main.version=$VERSION" -o /out/demo .

FROM build AS build-nats
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go build -C hack/nats -ldflags "-s -w" -o /out/nats github.com/nats-io/nats-server/v2

FROM scratch AS base
LABEL org.opencontainers.image.licenses=Apache-2.0
USER 65532:65532
WORKDIR /

FROM base AS demo
COPY --from=build-demo /out /
ENTRYPOINT ["/demo"]

FROM base AS nats
COPY --from=build-nats /out /
ENTRYPOINT ["/nats"]

FROM base AS gateway
COPY --from=build-gateway /out /
ENTRYPOINT ["/gateway"]

FROM base AS manager
COPY --from=build-manager /out /
ENTRYPOINT ["/manager"]
