#!/bin/sh
# Starts Asterisk in the foreground with /etc/asterisk, which stays as it is: the copy that runs has the passwords and
# addresses of the environment. Everything that is written is below /run/asterisk.
#
#   ASTERISK_ARI_PASSWORD   of the ARI user voxtrad
#   SIP_PASSWORD            of the telephones 100 and 200
#   PBX_ADDRESS             where telephones reach this Asterisk (default 127.0.0.1)
set -eu

refuse() { echo "start-asterisk: $*" >&2; exit 1; }

word() { # of characters that mean nothing to sed and to Asterisk's configuration files
    case $2 in
        '' | *[!A-Za-z0-9._~+/=:@-]*) refuse "$1 may hold only letters, digits and . _ ~ + / = : @ -" ;;
    esac
    printf %s "$2"
}

ari=$(word ASTERISK_ARI_PASSWORD "${ASTERISK_ARI_PASSWORD:-voxtrad}")
sip=$(word SIP_PASSWORD "${SIP_PASSWORD:-voxtrad}")
address=$(word PBX_ADDRESS "${PBX_ADDRESS:-127.0.0.1}")

case $address in
    127.*) ;;
    *) [ "$sip" != voxtrad ] || refuse "PBX_ADDRESS=$address lets others register: set a SIP_PASSWORD of your own" ;;
esac

umask 077
run=/run/asterisk
rm -rf "$run/etc"
mkdir -p "$run/etc" "$run/log" "$run/spool/recording" "$run/db" "$run/keys"
for name in acl ccss cdr cel chan_websocket features manager pjproject stasis udptl websocket_client; do
    : >"$run/etc/$name.conf" # what has no file of ours has its defaults; Asterisk would call a missing one an error
done
cp /etc/asterisk/*.conf "$run/etc/"
sed -i "s#^password = .*#password = $ari#" "$run/etc/ari.conf"
sed -i -e "s#^password = .*#password = $sip#" -e "s#^\(external_[a-z]*_address\) = .*#\1 = $address#" "$run/etc/pjsip.conf"

exec asterisk -C "$run/etc/asterisk.conf" -f
