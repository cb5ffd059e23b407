#!/bin/bash
# OpenSSH's sshd as a gateway runs it: certificates of one CA only. The CA, the principals and the revocation list are
# files under the data folder, read at every login; so is authorized_keys, which is empty. It lets in the account it runs as.
NAME=sshd
source "$(dirname "$0")/lib.sh"

install() {
  command -v ssh >/dev/null || die "needs an ssh client"
  debs openssh-server openssh-sftp-server libwrap0
}

launch() {
  local server="$DEB/usr/sbin/sshd"
  export LD_LIBRARY_PATH="$DEB/usr/lib/$(uname -m)-linux-gnu:$DEB/lib/$(uname -m)-linux-gnu"
  [ -e "$DATA/host_key" ] || ssh-keygen -q -t ed25519 -N '' -C gateway -f "$DATA/host_key"
  touch "$DATA/ca.pub" "$DATA/revoked" "$DATA/principals" "$DATA/authorized_keys"
  chmod 600 "$DATA/authorized_keys"
  cat >"$DATA/sshd_config" <<CONF
Port $PORT
ListenAddress 127.0.0.1
HostKey $DATA/host_key
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile $DATA/authorized_keys
Subsystem sftp $DEB/usr/lib/openssh/sftp-server
PermitRootLogin prohibit-password
TrustedUserCAKeys $DATA/ca.pub
AuthorizedPrincipalsFile $DATA/principals
RevokedKeys $DATA/revoked
LogLevel VERBOSE
CONF
  if [ "$(id -u)" = 0 ]; then
    # as root it wants an account of its own to shed privileges to: lent to it alone, in a mount namespace
    cp /etc/passwd "$DATA/passwd"
    grep -q '^sshd:' "$DATA/passwd" || echo 'sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin' >>"$DATA/passwd"
    unshare -m true 2>/dev/null || die "as root it needs a mount namespace, which is not allowed here"
    spawn sshd unshare -m sh -c 'mount --bind "$1" /etc/passwd && mount -t tmpfs none /run && mkdir -m 0755 /run/sshd && exec "$2" -D -e -f "$3"' \
      sh "$DATA/passwd" "$server" "$DATA/sshd_config"
  else
    spawn sshd "$server" -D -e -f "$DATA/sshd_config"
  fi
  wait_for 10 sshd "$PYTHON" -c 'import socket,sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])), 2).recv(8)' "$PORT"
}

info() {
  json port "$PORT" data "$DATA" user "$(id -un)" log "$RUN/sshd.log" host_key "$(cut -d' ' -f1,2 "$DATA/host_key.pub")" \
    fingerprint "$(ssh-keygen -lf "$DATA/host_key.pub" | cut -d' ' -f2)"
}
main "$@"
