import type { Command } from '../../command/command';
import { isOpenToAll } from '../../command/folder';
import { quote } from '../../command/quote';
import * as zfs from '../../command/zfs';
import type { Dataset } from '../../command/zfs-list';
import { askHealth, askReadonly, askSudo, missingRights } from '../../command/zfs-rights';
import { asDriverError, type Mend } from '../../errors';
import type { Host } from '../../host/host';
import type { EngineContext } from '../engine';
import { type Check, type Examination, fine, type Link, type Program, type Role } from '../examination';
import { SENDER_PROGRAMS, SERVER_PROGRAMS } from '../known-programs';
import { throttleLinks, throttlePrograms } from '../throttle-link';
import type { ZfsConfig } from './config';
import { mountCheck, templateCheck } from './mount-check';
import { roomCheck } from './room-check';
import { checkReadable, ifMissing, mountpointOf } from './vm-dataset';

/** A backup that there is not: for asking what would be allowed. */
const SAMPLE = '0123456789ab';

/** What is examined. */
interface Means {
  readonly config: ZfsConfig;
  readonly context: Pick<EngineContext, 'datastore'>;
}

/** What the backups of a ZFS datastore need. */
export function zfsExamination(means: Means): Examination {
  const { server, user, throttle } = means.config;
  return {
    server: { server, user },
    needsShell: true,
    programs: (role) => programs(role, means.config),
    links: (role, host) => {
      if (role === 'host') return throttleLinks(throttle, host);
      return role === 'server' ? new ServerLinks(host, means).all() : [];
    },
  };
}

function programs(role: Role, { throttle }: ZfsConfig): readonly Program[] {
  if (role === 'front-end') return [];
  if (role === 'host') return [...SENDER_PROGRAMS, ...throttlePrograms(throttle)];
  const zfsutils = 'zfsutils-linux';
  const own: Program = { name: 'zfs', package: zfsutils, version: { args: ['version'], least: [2] } };
  return [own, { name: 'zpool', package: zfsutils }, { name: 'sudo', package: 'sudo' }, ...SERVER_PROGRAMS];
}

class ServerLinks {
  readonly #host: Host;
  readonly #config: ZfsConfig;
  /** The datastore's own dataset, which the first backup makes. */
  readonly #own: string;
  /** Of the datastore, or the admin's as long as that is not there. */
  #held: Dataset | undefined;

  constructor(host: Host, { config, context }: Means) {
    this.#host = host;
    this.#config = config;
    this.#own = `${config.dataset}/${context.datastore.id}`;
  }

  all(): Link[] {
    return [
      { what: 'pool', after: ['programs'], examine: async () => [await this.#pool()] },
      { what: 'dataset', after: ['pool'], examine: async () => [await this.#dataset()] },
      { what: 'space', after: ['dataset'], examine: async () => [await this.#space()] },
      { what: 'rights', after: ['dataset'], examine: async () => [await this.#rights()] },
    ];
  }

  async #pool(): Promise<Check> {
    const [pool = ''] = this.#config.dataset.split('/');
    const health = await this.#host.run(askHealth(pool)).catch(ifMissing);
    if (health === undefined) {
      const mend = this.#byRoot(`zpool import ${pool}`);
      const when = 'Without an argument, zpool import says which pools there are';
      return { state: 'failure', says: `there is no pool ${pool}`, hint: when, mend: { ...mend, when } };
    }
    const says = `${pool} is ${health}`;
    if (health === 'ONLINE') return fine(says);
    return { state: health === 'DEGRADED' ? 'warning' : 'failure', says, hint: `See there: zpool status -v ${pool}` };
  }

  /** That the datasets are there, mounted, may be written, and belong to the login. */
  async #dataset(): Promise<Check> {
    const { dataset, user } = this.#config;
    const root = await this.#look(dataset);
    if (root === undefined) {
      const says = `there is no dataset ${dataset}`;
      const owner = `chown ${user}: "$(zfs get -Ho value mountpoint ${dataset})"`;
      const when =
        'Only for a new one: if there were backups, see first whether it was renamed, or its pool is another one: zfs list';
      return { state: 'failure', says, hint: when, mend: { ...this.#byRoot(`zfs create ${dataset}`, owner), when } };
    }
    const own = await this.#look(this.#own);
    this.#held = own ?? root;
    const readOnly = await this.#host.run(askReadonly(own === undefined ? [dataset] : [dataset, this.#own]));
    const [first] = readOnly;
    if (first !== undefined)
      return { state: 'failure', says: `${first} is read-only`, mend: this.#byRoot(`zfs set readonly=off ${first}`) };
    const hidden = await mountCheck([root, own], this.#host, (first, ...others) => this.#byRoot(first, ...others));
    if (hidden !== undefined) return hidden;
    for (const one of own === undefined ? [root] : [root, own]) {
      checkReadable(one, this.#config);
      const folder = mountpointOf(one, this.#host);
      const isOthers = await this.#host.run(zfs.checkOwner(folder, user)).then(() => undefined, asDriverError);
      if (isOthers?.kind === 'failed')
        return { state: 'failure', says: isOthers.what, mend: this.#byRoot(quote(['chown', `${user}:`, folder])) };
      if (isOthers !== undefined) throw isOthers;
      if (one === own && (await this.#host.run(isOpenToAll(folder))))
        return {
          ...{ state: 'warning', says: `every login there can read the backups in ${folder}` },
          mend: this.#byRoot(quote(['chmod', '700', folder])),
        };
    }
    const template = await templateCheck(root, user, this.#host, (command) => this.#byRoot(command));
    if (template !== undefined) return template;
    return fine(
      own === undefined ? `${dataset} is mounted, and holds nothing of this datastore yet` : `${this.#own} is mounted`,
    );
  }

  #space(): Promise<Check> {
    const held = this.#held ?? { name: this.#own, usedBytes: 0, availableBytes: 0 };
    return roomCheck(held, this.#own, {
      look: (name) => this.#look(name),
      byRoot: (command) => this.#byRoot(command),
    });
  }

  /** That the login may do all that backups, flattening and removing do. */
  async #rights(): Promise<Check> {
    const { dataset, user, sudo } = this.#config;
    const mount = zfs.mount({ ...this.#config, sudo: true }, this.#own);
    const refused = await this.#host.run(askSudo(sudo ? this.#commands() : [mount]));
    const missing = sudo ? [] : await this.#host.run(missingRights(dataset, user));
    if (missing.length > 0) {
      const command = `zfs allow ${user} ${missing.join(',')} ${dataset}`;
      return {
        state: 'failure',
        says: `${user} lacks rights on ${dataset}: ${missing.join(', ')}`,
        mend: this.#byRoot(command),
      };
    }
    if (refused === undefined)
      return fine(`${user} may do all that is needed, ${sudo ? 'by sudo' : 'and mount by sudo'}`);
    const allowed = sudo ? '$(command -v zfs)' : `$(command -v zfs) ^mount ${dataset}/[0-9]+(/[0-9]+)?\\$`;
    const file = '/etc/sudoers.d/backups';
    const line = `echo "${user} ALL=(root) NOPASSWD: ${allowed}" >> ${file} && chmod 440 ${file}`;
    const when = sudo ? 'The README has narrower lines for it, under "ZFS server"' : 'With sudo 1.9.10 or newer';
    return { state: 'failure', says: `sudo refuses: ${refused}`, hint: when, mend: { ...this.#byRoot(line), when } };
  }

  /** One of each kind of command that changes something. */
  #commands(): Command<unknown>[] {
    const { dataset, compression } = this.#config;
    const access = { ...this.#config, sudo: true };
    const vm = `${this.#own}/0`;
    return [
      zfs.makeTemplate(access, dataset),
      zfs.clone(access, dataset, this.#own, [`compression=${compression}`, 'quota=none']),
      zfs.set(access, this.#own, 'quota=none'),
      zfs.mount(access, this.#own),
      zfs.snapshot(access, vm, SAMPLE, { vm: '0' }),
      zfs.hold(access, vm, [SAMPLE]),
      zfs.release(access, vm, [SAMPLE]),
      zfs.rollback(access, vm, SAMPLE),
      zfs.destroySnapshots(access, vm, [SAMPLE]),
      zfs.destroy(access, vm),
    ];
  }

  async #look(name: string): Promise<Dataset | undefined> {
    return ((await this.#host.run(zfs.list(name, 'filesystem')).catch(ifMissing)) ?? [])[0];
  }

  #byRoot(first: string, ...others: readonly string[]): Mend {
    const at = (command: string) => ({ command, on: this.#config.server, asRoot: true });
    return { commands: [at(first), ...others.map(at)] };
  }
}
