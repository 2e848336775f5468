import { dirname, join } from 'node:path/posix';
import ts from 'typescript';

/** The text of each source file by its path from the root of the project. */
export type Sources = Readonly<Record<string, string>>;

/** From the top down: a file imports from the layers below its own, and from its own folder. */
const LAYERS = ['remotes', 'control', 'action', 'engine', 'middle', 'bottom'];
/** The folders of the middle layer may use each other, one way only. */
const MIDDLE = ['command', 'host', 'opennebula'];
const BOTTOM = ['lib/abort', 'lib/errors', 'lib/secret', 'lib/version'];

/** Where a package may be imported. The tests may import all of them. */
const PLACES: Readonly<Record<string, RegExp>> = {
  'fast-xml-parser': /^lib\/opennebula\/document\.ts$/,
  yargs: /^(lib\/action\/argv|lib\/control\/command-line|build\/install-options)\.ts$/,
  child_process: /^(lib\/host|build)\//,
  ssh2: /^lib\/host\//,
  'ssh2-sftp-client': /^lib\/host\//,
  shelljs: /^build\//,
  esbuild: /^build\//,
};

/** What an action is made of in the end, and backupctl. */
const RUN = ['lib/action/run.ts', 'lib/control/run.ts'];
const REPORT = ['lib/action/report.ts', 'lib/control/screen.ts'];
/** Where a property of `process` may be used, of those that not every file may. */
const PROCESS: ReadonlyMap<string, readonly string[]> = new Map([
  ['env', RUN],
  ['exit', RUN],
  ['exitCode', RUN],
  ['stdin', RUN],
  ['stdout', [...RUN, ...REPORT]],
  ['stderr', [...RUN, ...REPORT]],
]);

/** Returns what breaks the rules of the house, one sentence each. */
export function violations(sources: Sources): string[] {
  const found = Object.entries(sources).flatMap(([path, text]) => ofOneFile(path, text));
  return [...found, ...circles(sources)];
}

function ofOneFile(path: string, text: string): string[] {
  const found: string[] = [];
  const name = path.replace(/^.*?\//, '');
  if (!path.startsWith('build/') && layerOf(path) === -1) found.push(`${path}: every file belongs to a layer`);
  if (text.split('\n').length > 201) found.push(`${path}: no file has more than 200 lines`);
  if (path.startsWith('lib/') && /(^|[/.-])(utils?|helpers?|managers?|common)([/.-]|$)/.test(name)) {
    found.push(`${path}: a file's name says what it holds`);
  }
  const [above] = /^lib\/(action|control)(?=\/)/.exec(path) ?? [];
  if (above !== undefined && /restic|rsync|zfs/i.test(path + text)) found.push(`${path}: ${above} names no engine`);
  for (const specifier of imports(path, text)) found.push(...ofOneImport(path, specifier));
  if (!path.startsWith('build/')) found.push(...usesOfProcess(path, text));
  return found;
}

function ofOneImport(path: string, specifier: string): string[] {
  if (!specifier.startsWith('.')) {
    const name = specifier.replace(/^node:/, '').replace(/^((@[^/]+\/)?[^/]+).*$/, '$1');
    if (name === 'process' && !path.startsWith('build/')) return [`${path}: process is used as the global that it is`];
    const place = PLACES[name];
    return place === undefined || place.test(path) ? [] : [`${path}: ${name} has its place, which is not here`];
  }
  if (path.startsWith('build/')) return [];
  const target = resolve(path, specifier);
  const [from, to] = [layerOf(path), layerOf(target)];
  const [engine, other] = [engineOf(path), engineOf(target)];
  if (engine !== undefined && other !== undefined && engine !== other) {
    return [`${path}: engines never import each other (${specifier})`];
  }
  const isInside = to === from && from !== LAYERS.indexOf('remotes') && (engine !== undefined || other === undefined);
  return to < from || (to === from && !isInside) ? [`${path}: imports go down only (${specifier})`] : [];
}

function resolve(path: string, specifier: string): string {
  return join(dirname(path), specifier).replace(/\.[cm]?[jt]s$/, '');
}

/** Returns the index of a file's layer; -1 for what is none, which is above all layers. */
function layerOf(path: string): number {
  const [top, folder = ''] = path.split('/');
  if (top === 'remotes') return LAYERS.indexOf('remotes');
  if (BOTTOM.includes(path.replace(/\.ts$/, ''))) return LAYERS.indexOf('bottom');
  if (top !== 'lib') return -1;
  return LAYERS.indexOf(MIDDLE.includes(folder) ? 'middle' : folder);
}

function engineOf(path: string): string | undefined {
  return /^lib\/engine\/([^/]+)\//.exec(path)?.[1];
}

/** Finds folders of the middle layer that import each other, directly or through the third. */
function circles(sources: Sources): string[] {
  const reach = new Map(MIDDLE.map((folder) => [folder, new Set<string>()]));
  for (const [path, text] of Object.entries(sources)) {
    const own = folderOf(path);
    for (const specifier of imports(path, text).filter((name) => name.startsWith('.'))) {
      const other = folderOf(resolve(path, specifier));
      if (own !== other) reach.get(own)?.add(other);
    }
  }
  for (const via of MIDDLE) {
    for (const seen of reach.values()) {
      if (seen.has(via)) for (const next of reach.get(via) ?? []) seen.add(next);
    }
  }
  const inCircle = MIDDLE.filter((folder) => reach.get(folder)?.has(folder));
  return inCircle.length === 0 ? [] : [`lib: no circle of folders (${inCircle.join(', ')})`];
}

function folderOf(path: string): string {
  return path.startsWith('lib/') ? (path.split('/')[1] ?? '') : '';
}

/** Returns every module that a file names: imports of values and types, re-exports, import() and require(). */
function imports(path: string, text: string): string[] {
  const found: string[] = [];
  walk(parse(path, text), (node) => {
    const isFrom = ts.isImportDeclaration(node) || ts.isExportDeclaration(node);
    const isCall = ts.isCallExpression(node) && /^(import|require)$/.test(node.expression.getText());
    const named = isFrom ? node.moduleSpecifier : isCall ? node.arguments[0] : undefined;
    const literal = ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument) ? node.argument.literal : named;
    if (literal !== undefined && ts.isStringLiteralLike(literal)) found.push(literal.text);
  });
  return found;
}

function usesOfProcess(path: string, text: string): string[] {
  const found: string[] = [];
  walk(parse(path, text), (node) => {
    if (!ts.isIdentifier(node)) return;
    const { parent } = node;
    const isMember = ts.isPropertyAccessExpression(parent) && parent.name === node;
    const isGlobal = isMember && parent.expression.getText() === 'globalThis';
    if (node.text === 'console' && !isMember)
      found.push(`${path}: console stands for process.stdout, which is not here`);
    if (node.text !== 'process' || (isMember && !isGlobal)) return;
    const use = ts.isPropertyAccessExpression(parent) && parent.expression === node ? parent.name.text : undefined;
    if (use === undefined) found.push(`${path}: process is used as process.NAME, for this check to read it`);
    else if (PROCESS.get(use)?.includes(path) === false)
      found.push(`${path}: process.${use} has its place, which is not here`);
  });
  return found;
}

function parse(path: string, text: string): ts.SourceFile {
  return ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true);
}

function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node);
  ts.forEachChild(node, (child) => walk(child, visit));
}
