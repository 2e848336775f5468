import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Test } from 'tap';
import { difference } from '../helpers/disk';
import type { Ended, FrontEndWorld } from '../helpers/front-end';
import { type MessageName, withAdded, withText } from '../helpers/messages';
import type { Known } from './stock-driver';
import type { Stage } from './story';

/** What differs from a plain chain of VM 1. */
export interface About {
  readonly vmId?: number;
  readonly job?: number;
  readonly increment?: number;
  /** Changes the IMAGE element of the message. */
  readonly edit?: (image: string) => string;
}

/** The built scripts, called as oned calls them; each throws what a script that failed had to say. */
export function builtScripts(w: FrontEndWorld) {
  const answer = async (ended: Promise<Ended>): Promise<string> => {
    const { code, stdout, stderr } = await ended;
    if (code !== 0) throw new Error(`exit code ${code}: ${stderr}`);
    return stdout.trim();
  };
  const message = (name: MessageName, chain: readonly Known[], { vmId = 1, job, edit }: About, keepLast?: number) =>
    w.imageMessage(name, vmId, [...chain], (text) => {
      // Disks have an element IMAGE as well, with a name in it.
      const whole = text.replace(/<IMAGE>\s*<ID>[\s\S]*<\/IMAGE>/, (image) => {
        const filled = image.replace('<TEMPLATE/>', '<TEMPLATE></TEMPLATE>');
        const inJob = job === undefined ? image : withAdded(filled, 'TEMPLATE', 'BACKUP_JOB_ID', String(job));
        return edit?.(inJob) ?? inJob;
      });
      return keepLast === undefined ? whole : withText(whole, 'EXTRA_DATA', 'KEEP_LAST', String(keepLast));
    });
  let downloads = 0;
  const staging = (vmId: number): string => join(w.staging(vmId), 'backup');

  return {
    async ls(chain: readonly Known[], about: About = {}): Promise<Record<string, string>> {
      const { increment = -1 } = about;
      const args = ['-i', String(increment)];
      return JSON.parse(await answer(w.run(w.script('ls'), args, message('ls-i2', chain, about)))) as Record<
        string,
        string
      >;
    },

    stat(url: string): Promise<string> {
      const text = w.message('stat-from-backup-ds', (text) => withText(text, 'IMAGE', 'PATH', url));
      return answer(w.run(w.script('stat'), ['4'], text));
    },

    /** As downloader.sh does: evaluates what the script prints. */
    async download(url: string): Promise<string> {
      const printed = await answer(w.run(w.downloader, [url], ''));
      const file = join(w.folder, `downloaded-${downloads++}`);
      const script = `${printed}\neval "$command" > '${file}' && eval "$clean_command"`;
      // Whatever Node is told where the tests run, a front-end's has not heard of.
      await promisify(execFile)('env', ['-u', 'NODE_OPTIONS', 'bash', '-c', script], { env: w.env });
      return file;
    },

    /** Checks that URLs are those of a stage, and give what it holds. */
    async same(t: Test, urls: Readonly<Record<string, string>>, stage: Stage): Promise<void> {
      const keys = [...stage.disks.keys()].map(String);
      t.strictSame(
        Object.keys(urls),
        stage.tpm === undefined ? keys : [...keys, 'tpm'],
        'all that was stored is listed',
      );
      const disk = async ([id, raw]: readonly [number, string]): Promise<void> => {
        const file = await this.download(urls[id] ?? '');
        t.equal(difference(file, raw), undefined, `disk ${id} at ${stage.incrementId} is as it was`);
        rmSync(file);
      };
      await Promise.all([...stage.disks].map(disk));
      if (stage.tpm === undefined) return;
      t.ok(readFileSync(await this.download(urls.tpm ?? '')).equals(stage.tpm), `the TPM at ${stage.incrementId}`);
    },

    /** Lays a stage and backs it up. Returns its source. */
    async backUp(stage: Stage, vmId: number, job?: number): Promise<string> {
      rmSync(staging(vmId), { recursive: true, force: true });
      mkdirSync(staging(vmId), { recursive: true });
      cpSync(stage.folder, staging(vmId), { recursive: true });
      const [source = ''] = await this.backUpLaid([...stage.disks.keys()], stage.incrementId, vmId, job);
      return source;
    },

    /** Backs up what lies in the staging folder. Returns SOURCE, SIZE_MB and FORMAT. */
    async backUpLaid(disks: readonly number[], increment: number, vmId: number, job?: number): Promise<string[]> {
      const [args, stdin] = w.backupCall(vmId, disks, increment, job === undefined ? '-' : String(job));
      return (await answer(w.run(w.script('backup'), args, stdin))).split(' ');
    },

    /** Flattens and returns the chain that oned would note. */
    async flatten(chain: readonly Known[], keepLast: number, about: About = {}): Promise<Known[]> {
      const text = message('increment_flatten', chain, about, keepLast);
      const said = await answer(w.run(w.script('increment_flatten'), ['6'], text));
      const pairs = (said.split(' ')[1] ?? '').split(',').map((pair) => pair.split(':'));
      return pairs.map(([id, source = '']) => ({ id: Number(id), source }));
    },

    async rm(chain: readonly Known[], about: About = {}): Promise<void> {
      await answer(w.run(w.script('rm'), ['6'], message('rm-increments', chain, about)));
    },
  };
}
