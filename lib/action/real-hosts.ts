import { PROGRAMS_VARIABLE } from '../command/supervise';
import type { Driver } from '../engine/engine';
import { RealHosts } from '../host/hosts';
import type { Datastore } from '../opennebula/datastore';
import type { FrontEnd } from '../opennebula/front-end';
import type { Report } from './report';

/** Who works on the hosts, and who is told of it. */
export interface HostsUser {
  readonly driver: Driver;
  /** Whose stall limit holds; none without a datastore. */
  readonly datastore: Datastore | undefined;
  readonly frontEnd: FrontEnd;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  readonly report: Pick<Report, 'step' | 'debug'>;
  /** By what backup_cancel finds the programs. */
  readonly marker?: string | undefined;
}

/** The machines, with this driver's programs, the datastore's limits, and each step told. Throws `config`. */
export function realHosts({ driver, datastore, frontEnd, env, signal, report, marker }: HostsUser): RealHosts {
  return new RealHosts({
    env: { ...env, [PROGRAMS_VARIABLE]: `${frontEnd.varDir}/remotes/datastore/${driver.name}` },
    signal,
    supervision: { stallSeconds: datastore === undefined ? 0 : driver.stallSeconds(datastore), marker },
    trace: (host, { argv, purpose, ignoreStalls }) => {
      if (!ignoreStalls) report.step(purpose);
      report.debug(`${host}: ${argv.filter((word) => !word.includes('\n')).join(' ')}`);
    },
  });
}
