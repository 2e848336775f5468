import { quote } from '../command/quote';
import type { Driver } from '../engine/engine';
import { type Check, fine, type Link } from '../engine/examination';
import type { MendCommand } from '../errors';
import type { AbsolutePath } from '../opennebula/ids';
import { ConfError, parseOnedConf, readOnedConf } from '../opennebula/oned-conf';
import { type MissingLines, missingFrom } from '../opennebula/oned-conf-missing';
import { notExamined } from './examine-links';

/** What makes oned read its configuration again. */
const RESTART: MendCommand = { command: 'systemctl restart opennebula', asRoot: true };

/** That oned.conf knows the driver, and stores its secrets encrypted. */
export function confLink(conf: AbsolutePath, driver: Driver): Link {
  return { what: 'oned.conf', examine: () => confChecks(conf, driver) };
}

async function confChecks(conf: AbsolutePath, { name, attributes }: Driver): Promise<[Check, ...Check[]]> {
  const text = await readOnedConf(conf);
  if (text === undefined) return [notExamined(`${conf} is not there, or not for this user to read`)];
  const namesOf = (all: typeof attributes): string[] => all.map((one) => one.name);
  const required = namesOf(attributes.filter((one) => one.required));
  const encrypted = namesOf(attributes.filter((one) => one.secret && one.unread === undefined));
  try {
    const missing = missingFrom(parseOnedConf(text), [{ name, required, encrypted }]);
    const [first, ...rest] = restartOnce(missing.map((lines) => missingCheck(conf, name, lines)));
    return first === undefined ? [fine(`${conf} has all that ${name} needs`)] : [first, ...rest];
  } catch (error) {
    if (!(error instanceof ConfError)) throw error;
    return [{ state: 'failure', says: `oned cannot read ${conf}: ${error.message}`, hint: 'Correct that line' }];
  }
}

/** oned is started anew after the last edit only. */
function restartOnce(checks: readonly Check[]): Check[] {
  const last = checks.findLastIndex(({ mend }) => mend !== undefined);
  return checks.map((check, index) =>
    check.mend === undefined || index !== last
      ? check
      : { ...check, mend: { ...check.mend, commands: [...check.mend.commands, RESTART] } },
  );
}

function missingCheck(conf: AbsolutePath, driver: string, missing: MissingLines): Check {
  const { kind, place, lines, change } = missing;
  const text = lines.map((line) => line.trim()).join(' ');
  const says = {
    list: `DATASTORE_MAD of ${conf} does not name ${driver}: oned runs none of its actions`,
    block: `${conf} has no DS_MAD_CONF of ${driver}: oned creates no datastore of it`,
    'wrong block': `DS_MAD_CONF of ${driver} in ${conf} is wrong`,
    encryption: `oned would store ${text.replace(/^.*"(.*)"$/, '$1')} unencrypted`,
  }[kind];
  const state = kind === 'encryption' ? 'warning' : 'failure';
  const edit = editOf(conf, kind, text, change);
  if (edit !== undefined) return { state, says, mend: { commands: [{ command: edit, asRoot: true }] } };
  return { state, says, hint: `${place.replace(/^./, (letter) => letter.toUpperCase())}: ${text}; then restart oned` };
}

/** What writes it into the file, where that is plain: blocks may stand anywhere. */
function editOf(
  conf: AbsolutePath,
  kind: MissingLines['kind'],
  text: string,
  change: MissingLines['change'],
): string | undefined {
  if (kind === 'block' || kind === 'encryption') return `echo ${quote([text])} >> ${quote([conf])}`;
  if (change === undefined || !/^[A-Za-z0-9_,-]+$/.test(change.from)) return undefined;
  return quote(['sed', '-i', `${change.first},${change.last}s/${change.from}/${change.to}/`, conf]);
}
