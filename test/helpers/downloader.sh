# What the front-end's downloader.sh does with a backup URL, as far as drivers see it.
#   downloader.sh VAR URL TARGET [PAUSE]
# Prints the type that it sniffed, the exit status of the command, and that of the clean-up if it came to it.
unset NODE_OPTIONS
case $2 in rsync*) driver=rsync ;; *) driver=restic ;; esac
eval `"$1/remotes/datastore/${driver}_downloader.rb" "$2" | grep -e '^command=' -e '^clean_command='`
echo "command $command"
echo "type $( (eval "$command" | head -n 1024 | file -b --mime-type -) 2>/dev/null)"
eval "$command" > "$3"
status=$?
echo "status $status"
[ $status = 0 ] || exit 1
eval "$clean_command"
echo "clean $?"
