#!/bin/sh
# Prints the version of this folder's source for docker build, where there is no
# git: the tag of the commit that is checked out, else the first 7 digits of the
# commit, or dev if git's files are not here. Changes that were not committed are
# not seen; make image sees them.
head=$(cat .git/HEAD 2>/dev/null)
ref=${head#ref: }
if [ "$ref" != "$head" ]; then
	head=$(cat ".git/$ref" 2>/dev/null || sed -n "s|^\([0-9a-f]*\) $ref\$|\1|p" .git/packed-refs 2>/dev/null)
fi
[ -n "$head" ] || { echo dev; exit; }
# a tag with a message is an object of its own: packed-refs has its commit in the line below, behind ^
tag=$( {
	grep -lx "$head" -r .git/refs/tags
	sed -n "/^\(.*\) refs\/tags\//{h;s/ .*//;};/^#/d;s/^^//;/^$head\$/{x;s/.* //;p;}" .git/packed-refs
} 2>/dev/null | head -n 1)
if [ -n "$tag" ]; then
	echo "${tag#*refs/tags/}"
else
	echo "$head" | cut -c 1-7
fi
