# make help lists what there is.
SHELL := /bin/sh
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -buildid= -X main.stamped=$(VERSION)
BIN ?= bin
# All targets build with the tag of the image. A build without it works the same and is 6 MB larger: nomsgpack leaves
# out Gin's encoder of MessagePack, which nothing here uses.
# Whatever is built, and without the race detector tested, is built alike: each other way of building compiles all
# packages once more.
export GOFLAGS := $(strip $(GOFLAGS) -tags=nomsgpack -trimpath)
export CGO_ENABLED := 0
# the race detector needs cgo and so a C compiler; without one the tests run all the same
RACE := $(shell command -v $$(go env CC) >/dev/null 2>&1 && echo -race)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: help run build check lint bench bench-peers bench-postgres fuzz fuzz-api store-test backup-test bulk-test crowd-test overload-test image swarm-test systemd-test ha-test dependency-test compare-checks fault-table soak no-false-alarm settings licenses release client-test clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "%-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## serve on port 6767 with accounts.db in this folder
	@exec $(BIN)/accountservice

build: ## both binaries, static, into bin/
	go build -buildvcs=false -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/accountservice ./healthchecker

check: ## format, vet and all tests that need nothing but Go
	@test -z "$$(gofmt -l $$(git ls-files '*.go' 2>/dev/null || find . -name '*.go'))" || { gofmt -l .; echo "run gofmt -w on these"; exit 1; }
	go vet ./...
	$(if $(RACE),CGO_ENABLED=1) go test $(RACE) -shuffle=on -parallel 4 -timeout 15m ./...

# the modules of tests that build the service name what it imports too
lint: ## go.mod and those built on it tidy; staticcheck, downloaded as a Go module
	for m in go.mod $$(grep -l '^replace accountservice' tests/*/go.mod); do go -C "$$(dirname $$m)" mod tidy -diff || exit 1; done
	go run $(STATICCHECK) ./...

bench: ## benchmarks, with health-go's own handler beside ours
	go test -run '^$$' -bench . -benchmem ./...

PEERS ?= -write ../../docs/benchmarks.md
bench-peers: build ## beside bare Gin, the tutorial's way and PocketBase, into docs/benchmarks.md; PEERS=-short for CI
	go -C tests/peers vet . ./bare ./tutorial ./empty
	go -C tests/peers test -count=1 -v -timeout 60m . -args -bin '$(abspath $(BIN))' $(PEERS)

ACCOUNTS ?= 1000000
bench-postgres: ## with PostgreSQL, beside pgbench on the same server; ACCOUNTS=10000000 for more; needs Debian's postgresql
	BENCH_POSTGRES=1 ACCOUNTS=$(ACCOUNTS) go test -count=1 -v -timeout 60m ./tests/postgres

# by count, not by time: at the end of a -fuzztime of seconds Go now and then
# fails with "context deadline exceeded" (golang/go#75804)
fuzz: ## the configuration loader, the records of the database and the lines of an import, for about 15 seconds each
	go test -run '^$$' -fuzz FuzzLoad -fuzztime 3000x -fuzzminimizetime 1x ./config
	go test -run '^$$' -fuzz FuzzAccountRecord -fuzztime 300000x -fuzzminimizetime 1x ./internal/store/boltstore/boltfile
	go test -run '^$$' -fuzz FuzzRecords -fuzztime 500000x -fuzzminimizetime 1x ./internal/store/boltstore/boltfile
	go test -run '^$$' -fuzz FuzzLine -fuzztime 150000x -fuzzminimizetime 1x ./internal/store/transfer

store-test: ## for minutes: 100 kills, 50 losses of the file, 10,000 raced updates, a list of 1,000,000 accounts, 20,000 flipped bits
	STORE_TEST_LONG=1 go test -count=1 -v -timeout 20m -run 'KillsLose|LosesNothingAcknowledged|Linearizable|LastPageOfAMillion|TestBit|CostThemselvesAlone' ./internal/store/boltstore
	STORE_TEST_LONG=1 go test -count=1 -v -timeout 20m -run EveryFlippedBit ./internal/store/boltstore/boltverify
	STORE_TEST_LONG=1 go test -count=1 -v -timeout 20m -run 'KilledServiceKnows|RequestsDriveNoChecks|TokensChangeUnderLoad' ./cmd/accountservice

backup-test: ## backups in a real S3 server, 50 killed backups, restores and starts that restore, and how long writes take beside them
	go -C tests/s3 vet . && go -C tests/s3 test -count=1 -v .
	STORE_TEST_LONG=1 go test -count=1 -v -timeout 20m -run 'KilledBackups|KilledRestore|KilledStart' ./cmd/accountservice
	STORE_TEST_LONG=1 go test -count=1 -v -timeout 20m -run 'BackupHardlyDelays|BackupIsAPrefix' ./internal/store/boltstore

bulk-test: ## a million accounts imported, killed midway, resumed and exported, by file and by service
	BULK_TEST=1 go test -count=1 -v -timeout 20m -run IsResumedAfterAKill ./cmd/accountservice

crowd-test: ## up to 12,000 idle and slow connections, in containers of 64 and 256 MiB; needs root
	CROWD_TEST=1 go test -count=1 -v -timeout 10m -run 'Crowd|Costly|SlowClients' ./cmd/accountservice

overload-test: ## ten times as many requests as are served, from a process of its own; needs two CPUs that do nothing else
	OVERLOAD_TEST=1 taskset -c 1 go test -count=1 -v -timeout 10m -run TenTimesTheCapacity ./cmd/accountservice

WALKS ?= 8334
fuzz-api: ## 200,000 requests made of the OpenAPI document, to the running service
	go test -count=1 -v -timeout 60m -run TestAnyRequestGetsADocumentedAnswer ./cmd/accountservice -rapid.checks=$(WALKS)

image: ## the container image, as accountservice:latest
	docker build --build-arg GOPROXY --build-arg VERSION=$(VERSION) \
	  --build-arg REVISION=$$(git rev-parse HEAD) --build-arg CREATED=$$(git log -1 --format=%cI) \
	  -t accountservice:latest .

# most parts wait most of the time: all go beside each other, on two cores too
swarm-test: ## the image in a real Swarm; needs Docker, HAProxy, Caddy, root; STORY='no restart' for one part
	SWARM_TEST=1 go test -count=1 -v -timeout 30m -parallel 16 $(if $(STORY),-run 'TestSwarm/$(STORY)') ./tests/swarm

systemd-test: ## the unit file under a real systemd, in a container; needs Docker, systemd, root
	SYSTEMD_TEST=1 go test -count=1 -v -timeout 15m ./tests/systemd

HA_ROUNDS ?= 5
ha-test: ## three PostgreSQL servers fail under three replicas, in namespaces of their own; HA_ROUNDS=30 for more; needs root
	HA_TEST=1 HA_ROUNDS=$(HA_ROUNDS) go test -count=1 -v -timeout 60m ./tests/ha

dependency-test: ## all kinds of dependency at their real servers; needs those of .ci/run
	go -C tests/kafka vet . && go -C tests/compare vet .
	DEPENDENCY_TEST=1 go test -count=1 -v -timeout 15m ./tests/dependencies

compare-checks: ## the checks of dependencies beside those that health-go brings along, into docs/health-go.md
	DEPENDENCY_TEST=1 COMPARE_CHECKS=1 go test -count=1 -v -timeout 10m -run SideBySide ./tests/dependencies -update

client-test: ## clients made by oapi-codegen and ogen, downloaded as Go modules, use the service
	go -C tests/clients test -count=1 -v -timeout 15m .

# each row waits most of the time: more of them than cores go beside each other
fault-table: ## real faults against the real service, into docs/faults.md; needs root
	FAULT_TABLE=1 FAULT_TABLE_WRITE=1 go test -count=1 -v -timeout 25m -parallel 4 ./tests/faults

SOAK ?= 1h
soak: ## an hour under load beside sick dependencies; SOAK=5m for less
	SOAK=$(SOAK) go test -count=1 -v -timeout 24h -run TestNothingGrows ./tests/faults

NO_FALSE_ALARM ?= 30m
no-false-alarm: ## load without any fault, for half an hour: nothing may be reported
	NO_FALSE_ALARM=$(NO_FALSE_ALARM) go test -count=1 -v -timeout 2h -run TestBusyServiceIsNeverCalledIll ./tests/faults

settings: ## write the table of settings into docs/settings.md
	go test ./tests/docs -run TestSettingsTable -update

licenses: ## write THIRD_PARTY and THIRD_PARTY.gz from the modules that the programs link
	go test ./tests/release -run TestThirdParty -update

release: ## archives for Linux and macOS, checksums and a CycloneDX SBOM for each, into dist/; needs git and GNU tar
	sh ./release.sh '$(VERSION)' '$(LDFLAGS)' dist

clean: ## what was built here; no database is touched
	rm -rf $(BIN) dist
