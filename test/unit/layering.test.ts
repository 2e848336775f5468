import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type Sources, violations } from '../helpers/layering';

const ROOT = join(__dirname, '..', '..');

function readSources(): Sources {
  const found: Record<string, string> = {};
  for (const top of ['lib', 'remotes', 'build']) {
    const paths = readdirSync(join(ROOT, top), { recursive: true, encoding: 'utf8' }).map((path) => join(top, path));
    for (const path of paths.filter((name) => /\.c?ts$|\.cjs$/.test(name))) {
      found[path] = readFileSync(join(ROOT, path), 'utf8');
    }
  }
  return found;
}

t.test('this tree keeps the rules of the house', async (t) => {
  const sources = readSources();
  t.ok(Object.keys(sources).length > 5, 'there is something to check');
  t.strictSame(violations(sources), []);
});

t.test('what follows the rules passes', async (t) => {
  const sources = {
    'remotes/datastore/restic/rm.ts': `import { runAction } from '../../../lib/action/run';\nimport { driver } from '../../../lib/engine/restic/driver';`,
    'remotes/datastore/backupctl.ts': `import { runControl } from '../../lib/control/run';\nimport { driver } from '../../lib/engine/restic/driver';`,
    'lib/control/run.ts': `import { Progress } from '../action/progress';\nprocess.env.HOME; process.exit(1);`,
    'lib/control/screen.ts': `process.stdout.write('');`,
    'lib/control/command-line.ts': `export const load = () => import('yargs');`,
    'lib/action/run.ts': `process.stdin; process.env.HOME; process.exit(1); process.stderr.write('');`,
    'lib/action/report.ts': `import type { Engine } from '../engine/engine';\nprocess.stdout.write('');`,
    'lib/action/argv.ts': `export const load = () => import('yargs');`,
    'lib/engine/engine.ts': `import type { HostName } from '../opennebula/ids';`,
    'lib/engine/restic/driver.ts': `import type { Engine } from '../engine';\nimport { config } from './config';`,
    'lib/engine/restic/config.ts': `// process.env.HOME and console.log are free in comments\nexport const config = 'process.exit()';`,
    'lib/host/local.ts': `import { spawn } from 'node:child_process';\nimport { quote } from '../command/quote';\nprocess.kill(1);`,
    'lib/command/quote.ts': `import { DriverError } from '../errors';`,
    'lib/opennebula/ids.ts': `import { DriverError } from '../errors';`,
    'lib/opennebula/document.ts': `import { XMLParser } from 'fast-xml-parser';\nimport { Secret } from '../secret';`,
    'lib/errors.ts': '',
    'lib/secret.ts': '',
    'build/bundle.ts': `import shell from 'shelljs';\nimport { spawn } from 'node:child_process';\nprocess.exit(process.env.X);`,
  };
  t.strictSame(violations(sources), []);
});

const BROKEN: readonly [rule: string, sources: Sources][] = [
  ['imports go down', { 'lib/engine/engine.ts': `import { run } from '../action/run';` }],
  ['imports go down', { 'lib/action/rm.ts': `import { screen } from '../control/screen';` }],
  ['imports go down', { 'lib/errors.ts': `import { id } from './opennebula/ids';` }],
  ['imports go down', { 'lib/host/local.ts': `export * from '../engine/engine';` }],
  ['imports go down', { 'lib/host/local.ts': `const later = () => import('../engine/engine');` }],
  ['imports go down', { 'lib/host/local.ts': `const later = require('../engine/engine');` }],
  ['imports go down', { 'lib/host/local.ts': `type E = import('../engine/engine').Engine;` }],
  ['imports go down', { 'lib/action/rm.ts': `import { x } from '../../test/helpers/x';` }],
  ['imports go down', { 'remotes/datastore/restic/rm.ts': `import { x } from './backup';` }],
  ['imports go down', { 'lib/engine/engine.ts': `import { x } from './restic/engine';` }],
  ['engines never import each other', { 'lib/engine/restic/a.ts': `import { x } from '../zfs/b';` }],
  ['belongs to a layer', { 'lib/tools/x.ts': `import { x } from '../errors';` }],
  [
    'no circle of folders',
    { 'lib/host/a.ts': `import '../command/b';`, 'lib/command/b.ts': `import type { A } from '../host/a';` },
  ],
  ['has its place', { 'lib/opennebula/image.ts': `import { XMLParser } from 'fast-xml-parser';` }],
  ['has its place', { 'lib/action/run.ts': `import yargs from 'yargs/yargs';` }],
  ['has its place', { 'lib/control/run.ts': `import yargs from 'yargs/yargs';` }],
  ['has its place', { 'lib/control/run-action.ts': `import { spawn } from 'node:child_process';` }],
  ['has its place', { 'lib/command/tar.ts': `import { spawn } from 'child_process';` }],
  ['has its place', { 'lib/engine/restic/engine.ts': `const x = require('node:child_process');` }],
  ['has its place', { 'lib/action/rm.ts': `import shell from 'shelljs';` }],
  ['has its place', { 'remotes/datastore/restic/rm.ts': `import { Client } from 'ssh2';` }],
  ['process', { 'lib/host/local.ts': `const home = process.env.HOME;` }],
  ['process', { 'lib/host/local.ts': `const { env } = process;` }],
  ['process', { 'lib/host/local.ts': `const home = process['env'].HOME;` }],
  ['process', { 'lib/host/local.ts': `const home = globalThis.process.env;` }],
  ['process', { 'lib/host/local.ts': `import { env } from 'node:process';` }],
  ['process', { 'lib/action/report.ts': `process.exit(1);` }],
  ['process', { 'lib/action/report.ts': `process.stdin.resume();` }],
  ['process', { 'remotes/datastore/restic/rm.ts': `process.stdout.write('x');` }],
  ['process', { 'lib/control/screen.ts': `process.exit(1);` }],
  ['process', { 'lib/control/lint.ts': `process.stdout.write('x');` }],
  ['process', { 'lib/host/local.ts': `console.log('x');` }],
  ['200 lines', { 'lib/host/local.ts': '\n'.repeat(201) }],
  ['200 lines', { 'build/x.cjs': '// line\n'.repeat(201) }],
  ['names no engine', { 'lib/action/rm.ts': `const name = 'restic';` }],
  ['names no engine', { 'lib/control/lint.ts': `const name = 'rsync';` }],
  ['names no engine', { 'lib/action/zfs.ts': '' }],
  ['says what it holds', { 'lib/host/utils.ts': '' }],
  ['says what it holds', { 'lib/host/ssh-manager.ts': '' }],
  ['says what it holds', { 'lib/host/common/ssh.ts': '' }],
];

t.test('each violation is found', async (t) => {
  for (const [rule, sources] of BROKEN) {
    const found = violations(sources);
    const title = `${rule}: ${JSON.stringify(sources).slice(0, 100)}`;
    t.ok(found.length === 1 && found[0]?.includes(rule), title, { found });
  }
});
