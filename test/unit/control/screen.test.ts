import { PassThrough } from 'node:stream';
import t from 'tap';
import { Screen } from '../../../lib/control/screen';
import { foldText, formatTable, shortened } from '../../../lib/control/table';
import { formatTree } from '../../../lib/control/tree';
import { DriverError } from '../../../lib/errors';

function screen({ tty = false, columns = 60, color = true, verbose = false } = {}) {
  const stdout = Object.assign(new PassThrough(), tty ? { isTTY: true, columns } : {});
  const stderr = Object.assign(new PassThrough(), tty ? { isTTY: true, columns } : {});
  const read = (stream: PassThrough): string => String(stream.read() ?? '');
  return {
    screen: new Screen({ stdout, stderr }, { color, verbose }),
    out: () => read(stdout),
    err: () => read(stderr),
  };
}

const COLUMNS = [{ title: 'VM' }, { title: 'MB', align: 'right' as const }, { title: 'WHAT' }];

t.test('a table: columns as wide as needed, numbers to the right', async (t) => {
  t.strictSame(
    formatTable(
      COLUMNS,
      [
        ['7', '5', 'x'],
        ['a long name', '12345', 'yy'],
      ],
      80,
    ),
    ['VM              MB  WHAT', '7                5  x', 'a long name  12345  yy'],
  );
  t.strictSame(formatTable(COLUMNS, [], 80), ['VM  MB  WHAT'], 'without rows');
});

t.test('what does not fit: the widest column is shortened, or goes on below', async (t) => {
  const rows = [
    ['7', '5', 'word '.repeat(30).trim()],
    ['8', '6', 'x'.repeat(200)],
  ];
  for (const width of [40, 80, 132]) {
    const short = formatTable(COLUMNS, rows, width);
    t.ok(
      short.every((line) => line.length <= width),
      `${width}`,
    );
    t.equal(short.length, 3);
    t.match(short[1], /\.\.\.$/);
    const wrapped = formatTable([...COLUMNS.slice(0, 2), { title: 'WHAT', wrap: true }], rows, width);
    t.ok(
      wrapped.every((line) => line.length <= width),
      `${width}, wrapped`,
    );
    t.equal(wrapped.join('').match(/word/g)?.length, 30, 'nothing is lost');
    t.equal(wrapped.join('').match(/x/g)?.length, 200);
  }
  const [, whole = ''] = formatTable(COLUMNS, rows.slice(1), 40, { isWhole: true });
  t.equal(whole.match(/x/g)?.length, 200, 'a program gets all of it');
  t.equal(shortened('abcdef', 5), 'ab...');
  t.strictSame(foldText('aa bb cccccc d', 4), ['aa', 'bb', 'cccc', 'cc d']);
  for (const none of [0, -3]) t.strictSame(foldText('ab c', none), ['a', 'b', 'c'], 'no room at all');
});

t.test('a tree', async (t) => {
  const tree = formatTree(
    [{ text: 'VM 7', children: [{ text: '0 FULL', children: [{ text: 'disk 0' }] }, { text: `1 ${'x'.repeat(90)}` }] }],
    40,
  );
  t.strictSame(tree.slice(0, 3), ['VM 7', '|-- 0 FULL', '|   `-- disk 0']);
  t.match(tree[3], /^`-- 1 x+\.\.\.$/);
  t.equal(tree[3]?.length, 40);
});

t.test('colours only on a terminal that may have them', async (t) => {
  const tone = () => 'failure' as const;
  const painted = '\u001b[31mx\u001b[0m';
  for (const [options, expected] of [
    [{ tty: true }, true],
    [{ tty: false }, false],
    [{ tty: true, color: false }, false],
  ] as const) {
    const io = screen(options);
    io.screen.table([{ title: 'A', tone }], [['x']]);
    io.screen.print(io.screen.paint('x', 'failure'));
    io.screen.warn('something');
    const out = io.out();
    t.equal(out.includes(painted), expected, JSON.stringify(options));
    t.equal(io.err().includes('\u001b'), expected);
    if (!expected) t.equal(out, 'A\nx\nx\n');
  }
});

t.test('the width is that of the terminal, and 80 in a pipe', async (t) => {
  t.equal(screen().screen.width, 80);
  t.equal(screen({ tty: true, columns: 123 }).screen.width, 123);
  const io = screen({ tty: true, columns: 30 });
  io.screen.table(COLUMNS, [['7', '5', 'word '.repeat(30)]]);
  t.ok(
    io
      .out()
      .split('\n')
      .every((line) => line.replace(/\u001b\[[0-9]+m/g, '').length <= 30),
  );
});

t.test('ASCII only, whatever a name holds', async (t) => {
  const io = screen();
  io.screen.print('b\u00fccher \u001b[2J \u001b]0;title\u0007');
  t.equal(io.out(), 'b?cher ?[2J ?]0;title?\n');
  io.screen.json({ name: 'b\u00fccher \u001b', list: [1] });
  const json = io.out();
  t.match(json, /^[\x20-\x7e\n]*$/);
  t.strictSame(JSON.parse(json), { name: 'b\u00fccher \u001b', list: [1] });
});

t.test('colours are ours alone, whatever a name holds', async (t) => {
  const hostile = 'x\u001b[8m\u001b[31m';
  const plain = screen();
  plain.screen.print(hostile);
  plain.screen.tree([{ text: hostile }]);
  t.notMatch(plain.out(), '\u001b');
  const io = screen({ tty: true });
  io.screen.tree([{ text: io.screen.paint(hostile, 'strong') }]);
  t.equal(io.out(), '\u001b[1mx?[8m?[31m\u001b[0m\n');
  io.screen.csv(`b\u00fccher ${hostile}\u202e`);
  t.equal(io.out(), 'b\u00fccher x?[8m?[31m?\n', 'CSV is UTF-8');
});

t.test('columns that wrap lose nothing: they are made narrower first', async (t) => {
  const columns = [{ title: 'TIME' }, { title: 'WHY', wrap: true }];
  const [, row] = formatTable(columns, [['2026-11-20 05:53:47', 'one two three four']], 32);
  t.equal(row, '2026-11-20 05:53:47  one two');
});

t.test('a failure is one line on stderr; more with --verbose', async (t) => {
  const error = new DriverError('locked', 'it is\nlocked', { hint: 'Wait', cause: new Error('below') });
  const quiet = screen();
  quiet.screen.fail(error);
  t.equal(quiet.err(), 'it is locked. Wait.\nRunning it again may help.\n');
  t.equal(quiet.out(), '');
  const mended = screen();
  mended.screen.fail(new DriverError('unreachable', 'unknown key', { mend: { commands: [{ command: 'mend it' }] } }));
  t.equal(mended.err(), 'unknown key\n', 'nothing is to be hoped for before a command was run');
  const loud = screen({ verbose: true });
  loud.screen.fail(error);
  t.match(loud.err(), /below/);
});
