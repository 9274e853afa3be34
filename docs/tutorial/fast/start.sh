#!/bin/sh
# Names for the application's environment, by the shell's own means.
i=1
while [ $i -le 40 ]; do
    path=/etc/shop/name$i
    export "SHOP_${path##*/}=$i"
    i=$((i + 1))
done
exec /usr/bin/python3 app.py
