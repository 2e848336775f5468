import type { AttributeFact, Driver } from '../engine/engine';
import { checkAttributes } from '../opennebula/attributes';
import { singleValue, templateElement } from '../opennebula/datastore-document';
import { parseHostNames } from '../opennebula/ids';
import type { Position } from '../opennebula/position';
import type { TemplateAttribute, TemplateFile } from '../opennebula/template-file';
import { DATASTORE_ATTRIBUTES } from './datastore-attributes';
import { type Finding, Findings, isVector, placeOf } from './findings';
import { nearestName } from './nearest';

/** Where a file begins, for what is missing in it. */
export const START: Position = { line: 1, column: 1 };
/** What oned allows in no name (PoolObjectSQL). */
const NOT_IN_NAMES = /[&|:\\";/'#{}$<>]/;
const LONGEST_NAME = 128;

/** All that is wrong with a template by itself, without a look at any machine. */
export function checkTemplate({ attributes, mistakes }: TemplateFile, drivers: readonly Driver[]): readonly Finding[] {
  // After a mistake nobody knows what was meant to be where: what else is wrong would be a guess.
  if (mistakes.length > 0) return mistakes.map((mistake) => ({ severity: 'error', ...mistake }));
  const findings = new Findings();
  const first = firstOfEach(attributes, findings);
  const driver = checkDriver(first, drivers, findings);
  checkOwn(first, findings);
  for (const attribute of first) checkName(attribute, driver, drivers, findings);
  if (driver !== undefined) checkValues(first, driver, findings);
  return findings.all;
}

/** Attributes that stand twice are not what anybody means: oned keeps both, and drivers refuse them. */
function firstOfEach(attributes: readonly TemplateAttribute[], findings: Findings): TemplateAttribute[] {
  const first = new Map<string, TemplateAttribute>();
  for (const attribute of attributes) {
    const before = first.get(attribute.name);
    if (before === undefined) first.set(attribute.name, attribute);
    else {
      const where = `line ${before.at.line} has ${attribute.name} already`;
      findings.error(attribute.at, attribute.name, where, 'Remove one of the two');
    }
    checkMembers(attribute, findings);
  }
  return [...first.values()];
}

function checkMembers({ name, value }: TemplateAttribute, findings: Findings): void {
  if (!isVector(value)) return;
  value.forEach((member, index) => {
    if (value.findIndex((one) => one.name === member.name) === index) return;
    findings.warning(
      member.at,
      name,
      `${member.name} stands twice in ${name}; oned keeps the first`,
      'Remove this one',
    );
  });
}

/** TYPE, DS_MAD and TM_MAD: what makes it a datastore of one of our drivers. */
function checkDriver(
  attributes: readonly TemplateAttribute[],
  drivers: readonly Driver[],
  findings: Findings,
): Driver | undefined {
  for (const [name, wanted] of [
    ['TYPE', 'BACKUP_DS'],
    ['TM_MAD', '-'],
  ] as const) {
    const attribute = attributes.find((one) => one.name === name);
    const text = singleValue(attributes, name)?.trim();
    if (attribute === undefined || text === undefined || text === '') continue;
    if (text.toUpperCase() === wanted) continue;
    const what = `${name} is ${shown(text)}, which makes it no backup datastore`;
    findings.error(placeOf(attribute), name, what, `Write ${name} = "${wanted}"`);
  }
  const attribute = attributes.find((one) => one.name === 'DS_MAD');
  const name = singleValue(attributes, 'DS_MAD')?.trim();
  if (attribute === undefined || name === undefined || name === '') return undefined;
  const driver = drivers.find((one) => one.name === name);
  if (driver === undefined) {
    const names = drivers.map((one) => one.name);
    const near = nearestName(name, names);
    const hint = near === undefined ? `Choose one of: ${names.join(', ')}` : `Did you mean "${near}"`;
    findings.error(placeOf(attribute), 'DS_MAD', `there is no driver ${shown(name)}`, hint);
  }
  return driver;
}

/** What oned itself reads. */
function checkOwn(attributes: readonly TemplateAttribute[], findings: Findings): void {
  for (const { name, what, required } of DATASTORE_ATTRIBUTES) {
    const attribute = attributes.find((one) => one.name === name);
    const isEmpty = attribute !== undefined && singleValue(attributes, name)?.trim() === '';
    if (required && (attribute === undefined || isEmpty)) {
      findings.error(attribute?.at ?? START, name, `${name} is missing`, `Give ${what}`);
    }
  }
  const check = (name: string, isWrong: (text: string) => boolean, what: string, hint: string): void => {
    const attribute = attributes.find((one) => one.name === name);
    const text = singleValue(attributes, name)?.trim() ?? '';
    if (attribute === undefined || text === '' || !isWrong(text)) return;
    const say = name === 'NAME' ? findings.warning : findings.error;
    say.call(findings, placeOf(attribute), name, `${name} is ${shown(text)}, ${what}`, hint);
  };
  const badName = (text: string): boolean => NOT_IN_NAMES.test(text) || text.length > LONGEST_NAME;
  check(
    'NAME',
    badName,
    'which oned does not take',
    `Use none of & | : \\ " ; / ' # { } $ < >, and ${LONGEST_NAME} letters`,
  );
  check('LIMIT_MB', (text) => !/^[0-9]{1,15}$/.test(text), 'it must be a whole number', 'Give it in MB');
  const badList = (text: string): boolean => throws(() => parseHostNames(text, 'the bridges'));
  check('BRIDGE_LIST', badList, 'which is no list of hosts', 'Separate the names of hosts by blanks');
}

/** Whether anybody reads the attribute. */
function checkName(
  { name, at }: TemplateAttribute,
  driver: Driver | undefined,
  drivers: readonly Driver[],
  findings: Findings,
): void {
  const own = [...DATASTORE_ATTRIBUTES, ...(driver?.attributes ?? [])];
  const fact = own.find((one) => one.name === name);
  if (fact?.unread !== undefined) findings.warning(at, name, `${name} is not read: ${fact.unread}`, 'Remove it');
  if (fact !== undefined) return;
  const other = drivers.find((one) => one.attributes.some((fact) => fact.name === name));
  if (other !== undefined) {
    if (driver === undefined) return;
    const what = `${name} is of the driver ${other.name}; ${driver.name} does not read it`;
    findings.warning(at, name, what, 'Remove it, or correct DS_MAD');
    return;
  }
  const near = nearestName(name, namesOf(own));
  const named = drivers.find((one) => name.startsWith(`${one.name.toUpperCase()}_`));
  if (near !== undefined) findings.error(at, name, `nobody reads ${name}`, `Did you mean ${near}`);
  else if (named !== undefined) findings.error(at, name, `the driver ${named.name} has no ${name}`, 'Remove it');
  else findings.warning(at, name, `neither oned nor a driver reads ${name}`, 'Remove it, unless it is a note of yours');
}

/** What the driver says of each of its attributes: its own reading of a datastore, with every error noted. */
function checkValues(attributes: readonly TemplateAttribute[], driver: Driver, findings: Findings): void {
  for (const { name, at, value } of attributes) {
    const isOwn = [...DATASTORE_ATTRIBUTES, ...driver.attributes].some((fact) => fact.name === name);
    if (isOwn && isVector(value)) findings.error(at, name, `${name} is a vector`, `Write ${name} = "value"`);
  }
  const single = attributes.filter(({ value }) => !isVector(value));
  for (const { name, error } of checkAttributes({ template: templateElement(single) }, driver.readConfig).problems) {
    const attribute = attributes.find((one) => one.name === name);
    if (attribute !== undefined && isVector(attribute.value)) continue;
    const fact = driver.attributes.find((one) => one.name === name);
    const anchor = attribute ?? attributes.find((one) => one.name === 'DS_MAD');
    const hint =
      error.hint ?? `${attribute === undefined ? 'Give' : 'It is'} ${fact?.what ?? 'one that the README names'}`;
    const what = error.hint === undefined ? error.message : error.message.replace(`. ${error.hint}.`, '');
    findings.error(anchor === undefined ? START : placeOf(anchor), name, what, hint);
  }
}

/** The names that somebody may have meant: not those that nobody reads. */
function namesOf(facts: readonly AttributeFact[]): string[] {
  return facts.filter(({ unread }) => unread === undefined).map(({ name }) => name);
}

function shown(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 37)}...` : text);
}

function throws(act: () => unknown): boolean {
  try {
    act();
    return false;
  } catch {
    return true;
  }
}
