# The machine sleeps for five seconds in the middle of a start (its own clock wakes it): that is time of the start.
/opt/true before
echo +5 >/sys/class/rtc/rtc0/wakealarm
echo mem >/sys/power/state && echo slept
/opt/true after
