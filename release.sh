#!/bin/sh
# release.sh VERSION LDFLAGS FOLDER: what make release makes. The archives are bit
# for bit the same from the same commit; they need GNU tar.
set -eu
version=$1 ldflags=$2 out=$3
time=$(git log -1 --format=%ct 2>/dev/null || echo 0)
sbom=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

rm -rf "$out"
mkdir -p "$out/tools"
GOFLAGS='' GOBIN=$(cd "$out/tools" && pwd) go install "$sbom"
for system in linux_amd64 linux_arm64 darwin_amd64 darwin_arm64; do
	name=accountservice_${version}_$system
	mkdir "$out/$name"
	export GOOS="${system%_*}" GOARCH="${system#*_}" CGO_ENABLED=0
	go build -trimpath -buildvcs=false -ldflags "$ldflags" -o "$out/$name/" ./cmd/accountservice ./healthchecker
	cp -R LICENSE THIRD_PARTY ./*.md docs configs "$out/$name/"
	rm "$out/$name"/configs/*.go
	# of the binary: it has what was linked, and needs no git
	"$out/tools/cyclonedx-gomod" bin -json -licenses -std -noserial -notimestamp -version "$version" \
		-output "$out/$name.cdx.json" "$out/$name/accountservice" 2>"$out/tools/log" || { cat "$out/tools/log" >&2; exit 1; }
	tar -C "$out" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$time" --mode=a+rX,u+w,go-w \
		-cf - "$name" | gzip -n >"$out/$name.tar.gz"
	rm -r "${out:?}/$name"
done
rm -r "$out/tools"
cd "$out"
sha256sum ./*.tar.gz ./*.cdx.json | sed 's, \./, ,' >SHA256SUMS
cat SHA256SUMS
