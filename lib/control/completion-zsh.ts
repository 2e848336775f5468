import { quote } from '../command/quote';
import { type Completion, type Option, optionsOf, type Positional, type Subcommand } from './subcommand';

/** A script for zsh's own completion system (zshcompsys(1), _arguments and _describe). */
export function zshCompletion(subcommands: readonly Subcommand[]): string {
  const list = subcommands.map(({ name, summary }) => `    ${quote([`${name}:${escaped(summary)}`])}`);
  return `#compdef backupctl
# zsh completion of backupctl; made by: backupctl completion zsh
_backupctl() {
  local -a subcommands
  subcommands=(
${list.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe subcommand subcommands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${subcommands.map(caseOf).join('\n')}
    help) _describe subcommand subcommands ;;
  esac
}
if [ "$funcstack[1]" = _backupctl ]; then _backupctl "$@"; else compdef _backupctl backupctl; fi`;
}

function caseOf(subcommand: Subcommand): string {
  const specs = [...optionsOf(subcommand).map(optionSpec), ...subcommand.positionals.map(positionalSpec)];
  return `    ${subcommand.name}) _arguments -S ${specs.map((spec) => quote([spec])).join(' ')} ;;`;
}

function optionSpec({ name, describe, value, many, completes }: Option): string {
  const spec = `${many ? '*' : ''}--${name}[${escaped(describe)}]`;
  return value === undefined ? spec : `${spec}:${escaped(value)}:${offer(completes)}`;
}

function positionalSpec({ name, completes, many, optional }: Positional, index: number): string {
  const place = many ? '*' : String(index + 1);
  return `${place}:${optional ? ':' : ''}${escaped(name)}:${offer(completes)}`;
}

function offer(completes: Completion | undefined): string {
  if (completes === undefined) return ' ';
  if (typeof completes === 'string') return completes === 'folder' ? '_files -/' : '_files';
  return `(${completes.join(' ')})`;
}

/** In the specifications of _arguments, colons and brackets have a meaning. */
function escaped(text: string): string {
  return text.replace(/[\\:[\]]/g, '\\$&');
}
