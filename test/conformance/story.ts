import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LiveDisk } from '../helpers/disk';

/** One backup of the story: the files that the transfer driver lays, and what must come back of them. */
export interface Stage {
  readonly incrementId: number;
  readonly folder: string;
  /** The raw content of each disk at that point. */
  readonly disks: ReadonlyMap<number, string>;
  readonly vmXml: Buffer;
  readonly tpm: Buffer | undefined;
}

/** What every run of the suite backs up, made once: whoever lays a stage twice gets the same bytes twice. */
export interface Story {
  readonly folder: string;
  /** One VM through five backups: a disk grows, another one comes and goes. */
  readonly chain: readonly [Stage, Stage, Stage, Stage, Stage];
  /** A full backup of the same VM that belongs to another image. */
  readonly foreign: Stage;
  /** Two backups of another VM. */
  readonly neighbour: readonly [Stage, Stage];
  close(): void;
}

const MIB = 2 ** 20;

/** Makes the files of the story in a temporary folder. */
export function writeStory(): Story {
  const folder = mkdtempSync(join(tmpdir(), 'one-backup-story-'));
  const system = new LiveDisk(folder, 'system', 8 * MIB, 11);
  const data = new LiveDisk(folder, 'data', 4 * MIB, 12);
  const foreign = new LiveDisk(folder, 'foreign', 4 * MIB, 13);
  const neighbour = new LiveDisk(folder, 'neighbour', 4 * MIB, 14);

  const stage = (name: string, incrementId: number, disks: Readonly<Record<number, LiveDisk>>, full: LiveDisk[]) => {
    const files = join(folder, `${name}-${incrementId}`);
    mkdirSync(files);
    const contents = new Map<number, string>();
    for (const [id, disk] of Object.entries(disks)) {
      disk.change(24);
      const file = join(files, `disk.${id}.${incrementId}`);
      if (full.includes(disk)) disk.full(file, String(incrementId));
      else disk.increment(file, String(incrementId));
      contents.set(Number(id), disk.at(String(incrementId)));
    }
    const sizes = Object.entries(disks).map(([id, { sizeBytes }]) => [Number(id), sizeBytes / MIB] as const);
    writeFileSync(join(files, 'vm.xml'), packedVm(name, sizes));
    return { incrementId, folder: files, disks: contents, vmXml: readFileSync(join(files, 'vm.xml')), tpm: undefined };
  };
  const withTpm = (made: Stage): Stage => {
    const tpm = Buffer.from(`state of the TPM at ${made.incrementId}\n\0\xff`, 'latin1');
    writeFileSync(join(made.folder, 'disk.tpm.0'), tpm);
    return { ...made, tpm };
  };

  const first = withTpm(stage('vm', 0, { 0: system }, [system]));
  const added = stage('vm', 1, { 0: system, 1: data }, [data]);
  system.grow(12 * MIB);
  const grown = withTpm(stage('vm', 2, { 0: system, 1: data }, []));
  const removed = stage('vm', 3, { 0: system }, []);
  const next = withTpm(stage('vm', 4, { 0: system }, []));
  return {
    folder,
    chain: [first, added, grown, removed, next],
    foreign: stage('foreign', 0, { 0: foreign }, [foreign]),
    neighbour: [stage('neighbour', 0, { 0: neighbour }, [neighbour]), stage('neighbour', 1, { 0: neighbour }, [])],
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** vm.xml as the transfer driver writes it: base64 in lines of 60. */
function packedVm(name: string, disks: readonly (readonly [id: number, sizeMb: number])[]): string {
  const listed = disks.map(([id, sizeMb]) => `<DISK><DISK_ID>${id}</DISK_ID><SIZE>${sizeMb}</SIZE></DISK>`).join('');
  const xml = `<VM><ID>1</ID><NAME><![CDATA[${name}]]></NAME><TEMPLATE>${listed}</TEMPLATE><USER_TEMPLATE/></VM>`;
  return `${Buffer.from(xml)
    .toString('base64')
    .replace(/(.{60})/g, '$1\n')}\n`;
}
