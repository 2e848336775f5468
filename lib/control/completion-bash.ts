import { quote } from '../command/quote';
import { type Completion, type Option, optionsOf, type Subcommand } from './subcommand';

/** A script for bash 4 or newer, that needs nothing else. */
export function bashCompletion(subcommands: readonly Subcommand[]): string {
  const names = subcommands.map(({ name }) => name);
  return `# bash completion of backupctl; made by: backupctl completion bash
_backupctl_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2"); }
_backupctl_paths() { mapfile -t COMPREPLY < <(compgen "$1" -- "$2"); compopt -o filenames 2>/dev/null; return 0; }
_backupctl() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command=\${COMP_WORDS[1]}
  local options='' valued='' place=0 i
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    _backupctl_words ${quote([[...names, 'help', '--help', '--version'].join(' ')])} "$cur"
    return
  fi
  case $command in
${subcommands.map(optionsCase).join('\n')}
    help) _backupctl_words ${quote([names.join(' ')])} "$cur"; return ;;
    *) return ;;
  esac
  for ((i = 2; i < COMP_CWORD; i++)); do
    [ "\${COMP_WORDS[i]}" = -- ] && return
    case " $valued " in
      *" \${COMP_WORDS[i]} "*) ((i++)) ;;
      *) case \${COMP_WORDS[i]} in -*) ;; *) ((place++)) ;; esac ;;
    esac
  done
  case "$command $prev" in
${subcommands.flatMap(valueCases).join('\n')}
  esac
  case " $valued " in *" $prev "*) return ;; esac
  case $cur in -*) _backupctl_words "$options" "$cur"; return ;; esac
  case "$command $place" in
${subcommands.flatMap(placeCases).join('\n')}
  esac
}
complete -F _backupctl backupctl`;
}

function optionsCase(subcommand: Subcommand): string {
  const options = optionsOf(subcommand);
  const words = (some: readonly Option[]): string => quote([some.map(({ name }) => `--${name}`).join(' ')]);
  const valued = options.filter(({ value }) => value !== undefined);
  return `    ${subcommand.name}) options=${words(options)} valued=${words(valued) || "''"} ;;`;
}

function valueCases(subcommand: Subcommand): string[] {
  return optionsOf(subcommand).flatMap(({ name, completes }) =>
    completes === undefined ? [] : [`    ${quote([`${subcommand.name} --${name}`])}) ${offer(completes)}; return ;;`],
  );
}

function placeCases({ name, positionals }: Subcommand): string[] {
  return positionals.flatMap(({ completes, many }, index) => {
    if (completes === undefined) return [];
    const place = many ? `'${name} '*` : quote([`${name} ${index}`]);
    return [`    ${place}) ${offer(completes)} ;;`];
  });
}

function offer(completes: Completion): string {
  if (typeof completes === 'string') return `_backupctl_paths ${completes === 'folder' ? '-d' : '-f'} "$cur"`;
  return `_backupctl_words ${quote([completes.join(' ')])} "$cur"`;
}
