import type { Test } from 'tap';
import { ERROR_KINDS, type ErrorKind } from '../../lib/errors';
import type { FrontEndWorld } from './front-end';
import { withAttribute } from './messages';
import { treeOf } from './tree';

/** Changes a message. */
export type Edit = (message: string) => string;

/** A call that must be refused. */
export interface Refusal {
  readonly name: string;
  readonly action: string;
  /** Those of oned's own call, unless told. */
  readonly args?: readonly string[];
  readonly stdin: string;
  readonly kind: ErrorKind;
  readonly says: RegExp;
}

/** Removes the first element of that name. */
export function without(element: string): Edit {
  return (text) => text.replace(elementNamed(element), '');
}

/** Repeats the first element of that name. */
export function twice(element: string): Edit {
  return (text) => text.replace(elementNamed(element), (found) => found + found);
}

/** Sets an attribute of the datastore. */
export function attribute(name: string, value: string): Edit {
  return (text) => withAttribute(text, name, value);
}

/** Makes calls and holds each against the contract: exit code, empty stdout, one plain line, and nothing changed. */
export async function refuse(
  t: Test,
  world: FrontEndWorld,
  cases: readonly Refusal[],
  tree: typeof treeOf = treeOf,
): Promise<void> {
  for (const { name, action, args, stdin, kind, says } of cases) {
    const [before, logins] = [tree(world.folder, world.ssh.folder), world.ssh.connections()];
    const calls = world.oned.calls.length;
    const argv = args ?? (action.endsWith('/ls') ? ['-i', '0'] : action.endsWith('/monitor') ? ['100'] : ['6']);
    const ended = await world.run(action, argv, stdin);
    t.equal(ended.code, ERROR_KINDS[kind].exitCode, `${name}: exit code; ${ended.stderr}`);
    const printed = action === world.downloader && !argv.includes('--stream');
    t.equal(ended.stdout, printed ? 'command="false"\nclean_command="true"\n' : '', `${name}: stdout`);
    const lines = ended.stderr.split('\n').filter((line) => !/^INFO: /.test(line));
    t.strictSame([lines.length, lines.at(-1)], [2, ''], `${name}: one plain line`);
    t.match(lines[0], /^[\x20-\x7e]{10,1000}$/, `${name}: ASCII, and not endless`);
    t.match(lines[0], says, name);
    t.notMatch(ended.stderr, /unexpected failure|\bat .*:\d+:\d+/, `${name}: no stack trace`);
    t.strictSame(tree(world.folder, world.ssh.folder), before, `${name}: nothing changed`);
    if (tree === treeOf) t.equal(world.ssh.connections(), logins, `${name}: no connection`);
    t.equal(world.oned.calls.length, calls, `${name}: no call to oned`);
  }
}

function elementNamed(name: string): RegExp {
  return new RegExp(`<${name}>[\\s\\S]*?</${name}>|<${name}/>`);
}
