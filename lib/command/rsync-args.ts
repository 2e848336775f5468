import { DriverError } from '../errors';

/**
 * The options of rsync(1) that RSYNC_ARGS may hold: those that say how a file is transferred. What runs programs, names
 * other files, changes sides, leaves files out or deletes has no place in a backup, and the rest is set by the driver.
 */
const SHORT = 'aclogpqrtvxzADEHIJKLNOPSUWXhikm46';
const FLAGS = new Set(
  `archive recursive dirs links copy-links copy-dirlinks keep-dirlinks hard-links safe-links copy-unsafe-links munge-links
   perms executability acls xattrs owner group devices specials times atimes crtimes omit-dir-times omit-link-times
   open-noatime sparse preallocate whole-file checksum ignore-times size-only inplace partial fsync compress
   old-compress new-compress numeric-ids one-file-system prune-empty-dirs progress human-readable stats verbose quiet
   itemize-changes 8-bit-output ipv4 ipv6 protect-args secluded-args`.split(/\s+/),
);
const WITH_VALUE = new Set(
  `bwlimit block-size compress-level compress-choice zl zc skip-compress checksum-choice cc checksum-seed chmod chown
   usermap groupmap info debug outbuf timeout modify-window max-alloc protocol stderr out-format`.split(/\s+/),
);

/**
 * Reads RSYNC_ARGS into arguments: by the quoting rules of a shell, but without one, so that nothing is expanded.
 * `what` names the attribute. Throws `config`, naming the option that a backup cannot have.
 */
export function parseRsyncArgs(text: string, what: string): string[] {
  const words = split(text, what);
  const args: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] as string;
    const [, name = '', value] = /^--([a-z0-9-]+)(=.*)?$/s.exec(word) ?? [];
    if (WITH_VALUE.has(name)) {
      const next = words[at + 1];
      if (value === undefined && next === undefined) throw refuse(what, `--${name} has no value`);
      args.push(value === undefined ? `--${name}=${next}` : word);
      if (value === undefined) at += 1;
    } else if (value === undefined && isFlag(name)) {
      args.push(word);
    } else if (/^-[A-Za-z0-9]+$/.test(word)) {
      const bad = [...word.slice(1)].find((letter) => !SHORT.includes(letter));
      if (bad !== undefined) throw notAllowed(what, `-${bad}`);
      args.push(word);
    } else if (word.startsWith('-')) {
      throw notAllowed(what, word.replace(/=.*$/s, ''));
    } else {
      throw refuse(what, `${JSON.stringify(word.slice(0, 40))} is no option; write values as --option=value`);
    }
  }
  return args;
}

function isFlag(name: string): boolean {
  const positive = name.replace(/^(no|i)-/, '');
  return FLAGS.has(positive) || (name.startsWith('no-') && positive.length === 1 && SHORT.includes(positive));
}

/** Splits into words as sh(1) does: single and double quotes, backslash. What a shell would act on is refused. */
function split(text: string, what: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let rest = text;
  while (rest !== '') {
    const [taken = ''] = /^(?:\s+|'[^']*'|"(?:[^"\\$`]|\\.)*"|\\.|[^\s'"\\$`;|&<>()*?[\]{}!#~]+)/s.exec(rest) ?? [];
    const [first = ''] = rest;
    if (taken === '' && `'"\\`.includes(first))
      throw refuse(what, `a ${first} is not closed, or holds what a shell expands`);
    if (taken === '') throw refuse(what, `the character ${first} has no meaning here, for no shell reads it; quote it`);
    rest = rest.slice(taken.length);
    if (/^\s/.test(taken)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? '') + unquoted(taken);
    }
  }
  return word === undefined ? words : [...words, word];
}

function unquoted(part: string): string {
  if (part.startsWith("'")) return part.slice(1, -1);
  if (part.startsWith('"')) return part.slice(1, -1).replace(/\\([\\"$`])/g, '$1');
  return part.startsWith('\\') ? part.slice(1) : part;
}

function notAllowed(what: string, option: string): DriverError {
  return refuse(what, `the option ${option.slice(0, 40)} is not allowed in a backup`);
}

function refuse(what: string, why: string): DriverError {
  return new DriverError('config', `${what}: ${why}`, { hint: 'See the attributes of the rsync driver in its README' });
}
