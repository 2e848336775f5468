import { stat } from 'node:fs/promises';
import { quote } from '../command/quote';
import type { Driver } from '../engine/engine';
import { asDriverError } from '../errors';
import type { FrontEnd } from '../opennebula/front-end';
import { encryptedAttributes } from '../opennebula/oned-conf';
import { parseTemplateFile, type TemplateFile } from '../opennebula/template-file';
import { checkTemplate, START } from './check-template';
import { type Finding, placeOf } from './findings';
import { readTemplateFile } from './open-datastore';
import type { Screen } from './screen';
import type { ControlContext, Subcommand } from './subcommand';

/** lint: checks templates. */
export const lint: Subcommand = {
  name: 'lint',
  summary: 'Checks templates of datastores, without a look at any other machine.',
  details:
    'Each attribute is read as the driver reads it. Where oned.conf can be read, secrets that oned would store unencrypted are found too. Each finding is one line: FILE:LINE:COLUMN: error, or warning, what it is, and what to do.',
  positionals: [{ name: 'FILE', describe: 'the template of a datastore', many: true, completes: 'file' }],
  options: [{ name: 'json', describe: 'Print one JSON document' }],
  examples: [
    { line: 'lint backups.ds', meaning: 'all errors and warnings of one template' },
    { line: 'lint --json *.ds | jq .errors', meaning: 'how many errors there are in many' },
  ],
  findings: 'a template has an error',
  async run({ line, frontEnd, drivers, screen }) {
    const reports: Report[] = [];
    for (const file of line.words('FILE'))
      reports.push({ file, findings: await lintFile(file, { frontEnd, drivers }).catch(unreadable) });
    const all = reports.flatMap(({ findings }) => findings);
    const errors = all.filter(({ severity }) => severity === 'error').length;
    if (line.flag('json')) screen.json({ files: reports.map(toJson), errors, warnings: all.length - errors });
    else for (const report of reports) print(report, screen);
    return errors === 0 ? 0 : 1;
  },
};

interface Report {
  readonly file: string;
  readonly findings: readonly Finding[];
}

/** All findings about one file. Throws `notFound`. */
export async function lintFile(
  file: string,
  { frontEnd, drivers }: Pick<ControlContext, 'drivers' | 'frontEnd'>,
): Promise<readonly Finding[]> {
  const template = parseTemplateFile(await readTemplateFile(file));
  const found = [...checkTemplate(template, drivers), ...(await checkSecrets(file, template, frontEnd, drivers))];
  return found.sort((a, b) => a.at.line - b.at.line || a.at.column - b.at.column);
}

/** What cannot be read says nothing against the other files. */
function unreadable(error: unknown): readonly Finding[] {
  const { kind, what } = asDriverError(error);
  if (kind !== 'notFound') throw error;
  return [{ at: START, severity: 'error', what, hint: 'Give the file of a template' }];
}

/** A finding as one line; `paint` gives its severity the colour. */
export function formatFinding(file: string, { at, severity, what, hint }: Finding, paint?: Screen['paint']): string {
  const severe = paint?.(severity, severity === 'error' ? 'failure' : 'warning') ?? severity;
  return `${file}:${at.line}:${at.column}: ${severe}: ${what}. ${hint}${hint.startsWith('Did you mean') ? '?' : '.'}`;
}

function print({ file, findings }: Report, screen: Screen): void {
  for (const finding of findings) screen.print(formatFinding(file, finding, (text, tone) => screen.paint(text, tone)));
  if (findings.length === 0) screen.print(`${file}: ${screen.paint('ok', 'ok')}`);
}

function toJson({ file, findings }: Report): unknown {
  return { file, findings: findings.map(({ at, ...finding }) => ({ ...at, ...finding })) };
}

/** Who else could read the secrets of a template: in the file, and in oned's database. */
async function checkSecrets(
  file: string,
  { attributes, mistakes }: TemplateFile,
  frontEnd: FrontEnd,
  drivers: readonly Driver[],
): Promise<Finding[]> {
  const names = drivers.flatMap((one) => one.attributes.filter(({ secret }) => secret).map(({ name }) => name));
  const secrets = attributes.filter(({ name, value }) => names.includes(name) && 'text' in value && value.text !== '');
  const [first] = secrets;
  if (first === undefined || mistakes.length > 0) return [];
  const findings: Finding[] = [];
  const warn = (attribute: (typeof secrets)[number], what: string, hint: string): void => {
    findings.push({ at: placeOf(attribute), severity: 'warning', attribute: attribute.name, what, hint });
  };
  const { mode } = await stat(file);
  if ((mode & 0o004) !== 0) {
    const octal = (mode & 0o777).toString(8).padStart(4, '0');
    warn(
      first,
      `everybody on this machine can read ${first.name} here (mode ${octal})`,
      `Run chmod o-rwx ${quote([file])} here`,
    );
  }
  const encrypted = await encryptedAttributes(frontEnd.onedConf);
  for (const attribute of encrypted === undefined ? [] : secrets.filter(({ name }) => !encrypted.has(name))) {
    const line = `DATASTORE_ENCRYPTED_ATTR = "${attribute.name}"`;
    warn(
      attribute,
      `oned would store ${attribute.name} unencrypted`,
      `Add ${line} to ${frontEnd.onedConf}, and restart oned`,
    );
  }
  return findings;
}
