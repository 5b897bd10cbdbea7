#!/bin/sh
# The receiver's commands, with the server's settings and as its user: sudo install config/receiver.sh /usr/local/bin/receiver
set -eu
[ "$(id -un)" = receiver ] || exec sudo -u receiver "$0" "$@"
set -a
export RECEIVER_DATABASE_URL=sqlite:////var/lib/receiver/receiver.db # as in receiver.service; receiver.env may say otherwise
. /etc/receiver/receiver.env
exec /opt/receiver/.venv/bin/receiver "$@"
