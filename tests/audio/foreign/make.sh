#!/bin/sh
# Makes the files of this folder anew; see README.md. Run in the root of the project, by:
#   ./dev run sh tests/audio/foreign/make.sh FOLDER
# Needs lame, opus-tools, vorbis-tools, flac, sox with libsox-fmt-all, and ffmpeg.
set -eu
cd "${1:?give a folder for the files}"
to=$PWD
PYTHONPATH=$OLDPWD/tests python - "$to" <<'PYTHON'
import sys
from pathlib import Path

from audio.foreign_sound import wav_of

for rate in (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000):
    for channels in (1, 2):
        Path(sys.argv[1], f"{rate}-{channels}.wav").write_bytes(wav_of(rate, channels))
PYTHON
ff() { ffmpeg -hide_banner -loglevel error -y "$@"; }
opus() { opusenc --quiet "$@"; }

lame --quiet -b 32 16000-1.wav lame-cbr.mp3
lame --quiet -V 5 --tt Whale --ta Nobody --add-id3v2 44100-2.wav lame-vbr-tags.mp3
lame --quiet -b 16 8000-1.wav lame-mpeg25.mp3
lame --quiet -t -b 64 --resample 48 48000-2.wav lame-no-info.mp3
lame --quiet -p --abr 40 24000-1.wav lame-abr-checksum.mp3
lame --quiet -V 5 -m s --resample 32 32000-2.wav lame-vbr-plain-stereo.mp3
ff -i 22050-1.wav -c:a libmp3lame -b:a 48k -metadata title=Whale -write_id3v1 1 ffmpeg-tags.mp3
ff -i 11025-1.wav -c:a libmp3lame -q:a 5 -write_xing 0 -id3v2_version 0 ffmpeg-no-xing.mp3
ff -i 48000-1.wav -c:a libshine -b:a 64k ffmpeg-shine.mp3

opus --bitrate 96 48000-2.wav opusenc-stereo.opus
opus --bitrate 24 --framesize 60 8000-1.wav opusenc-60ms.opus
opus --bitrate 48 --framesize 2.5 16000-1.wav opusenc-2.5ms.opus
opus --bitrate 32 44100-1.wav opusenc-44100.opus
ff -i 24000-1.wav -c:a libopus -b:a 32k -f ogg pipe:1 >ffmpeg-pipe.opus
opus --bitrate 24 --serial 1 16000-1.wav first.opus
opus --bitrate 32 --serial 2 48000-1.wav second.opus
opus --bitrate 48 --serial 3 48000-2.wav third.opus
cat first.opus second.opus first.opus >opusenc-chained.opus
cat first.opus third.opus >opusenc-chained-channels.opus
oggenc -Q -q 3 44100-2.wav -o oggenc.ogg
ff -i 16000-1.wav -c:a libvorbis -q:a 1 ffmpeg-vorbis.ogg
cat ffmpeg-vorbis.ogg ffmpeg-vorbis.ogg >ffmpeg-vorbis-chained.ogg

flac -s --no-padding -8 44100-2.wav -o flac-stereo.flac
sox 8000-1.wav -b 24 24-bits.wav
flac -s --no-padding 24-bits.wav -o flac-24-bits.flac 2>/dev/null
sox 8000-1.wav -b 8 8-bits.wav
flac -s --no-padding 8-bits.wav -o flac-8-bits.flac
flac -s --no-padding -c --ignore-chunk-sizes - <16000-1.wav >flac-pipe.flac 2>/dev/null

sox 8000-2.wav -b 24 sox-24-bits-extensible.wav
sox 8000-1.wav -e float -b 32 sox-float.wav
sox 8000-1.wav -e mu-law sox-mu-law.wav
sox 8000-1.wav -e a-law sox-a-law.wav
sox 8000-1.wav -b 8 sox-8-bits.wav
ff -i 8000-1.wav -c:a pcm_f64le ffmpeg-float64.wav
ff -i 8000-1.wav -write_bext 1 -metadata description=whale ffmpeg-bext.wav
ff -i 8000-1.wav -f wav pipe:1 >ffmpeg-pipe.wav
ff -i 8000-1.wav -rf64 always ffmpeg-rf64.wav
ff -i 8000-1.wav -rf64 always -f wav pipe:1 >ffmpeg-rf64-pipe.wav
ff -i 8000-1.wav -c:a adpcm_ms ffmpeg-adpcm.wav

rm ./*-[12].wav first.opus second.opus third.opus 24-bits.wav 8-bits.wav
