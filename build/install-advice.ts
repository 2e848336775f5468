import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfError, parseOnedConf } from '../lib/opennebula/oned-conf';
import { missingFrom } from '../lib/opennebula/oned-conf-missing';
import { factsOf } from './drivers';
import { InstallFailure, reasonOf } from './install-failure';
import type { InstallOptions } from './install-options';
import { DATASTORE } from './install-state';

/** Where oned, as a service of the system, looks for programs. */
const SERVICE_PATH = ['/usr/local/bin', '/usr/bin'];

/**
 * Returns what is left to do by hand: the lines that oned.conf needs and what to run, ready to be printed.
 * Throws `refused` when an oned.conf was named that is not there.
 */
export function adviceFor(options: InstallOptions, drivers: readonly string[]): string[] {
  return [...confAdvice(options, drivers), '', 'Then run:', ...commands(options, drivers)];
}

function confAdvice({ confFile, isConfNamed }: InstallOptions, drivers: readonly string[]): string[] {
  if (!existsSync(confFile)) {
    if (isConfNamed) throw new InstallFailure('refused', `${confFile} is not there: name another with --conf.`);
    return [`${confFile} is not there. This is what an oned.conf needs:`, ...conf('', drivers)];
  }
  try {
    const lines = conf(readFileSync(confFile, 'utf8'), drivers);
    const head = `${confFile} needs this (it was not changed):`;
    return lines.length === 0 ? [`${confFile} has all that is needed`] : [head, ...lines];
  } catch (error) {
    const why = error instanceof ConfError ? `oned cannot read ${confFile}` : 'oned.conf cannot be read';
    return [`WARN: ${why}: ${reasonOf(error)}`, 'This is what it needs:', ...conf('', drivers)];
  }
}

function conf(text: string, drivers: readonly string[]): string[] {
  const facts = drivers.map((name) => ({ name, ...factsOf(name) }));
  return missingFrom(parseOnedConf(text), facts).flatMap(({ place, lines }) => ['', `# ${place}`, ...lines]);
}

function commands({ varDir }: InstallOptions, drivers: readonly string[]): string[] {
  const programs = drivers.flatMap((driver) => {
    const { hostProgram } = factsOf(driver);
    return hostProgram === undefined ? [] : [{ hostProgram, path: join(varDir, DATASTORE, driver, hostProgram) }];
  });
  return [
    '  systemctl restart opennebula   # as root, if oned.conf changed',
    ...programs.map(({ hostProgram, path }) =>
      existsSync(path)
        ? `  onehost sync --force           # as oneadmin, if a host has no ${hostProgram}`
        : `  apt-get install ${hostProgram.padEnd(14)} # on each host that has none`,
    ),
  ];
}

/** Returns a warning when oned would not find the node that runs this program; nothing otherwise. */
export function nodeWarning(): string[] {
  if (SERVICE_PATH.some((folder) => isExecutable(join(folder, 'node')))) return [];
  const [place] = SERVICE_PATH;
  return [`WARN: oned may not find node: run ln -s ${process.execPath} ${place}/node`];
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
