# The wall clock is set to a year ago, and then three years forward: no start becomes longer or shorter by that.
now=$(date +%s)
/opt/true before
date -s "@$((now - 31536000))" >/dev/null
/opt/true back
date -s "@$((now + 94608000))" >/dev/null
/opt/true forward
