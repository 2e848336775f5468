import t from 'tap';
import { Element } from '../../../lib/opennebula/document';
import { formatTemplate, type TemplateEntry } from '../../../lib/opennebula/template-text';
import { parseTemplateText } from '../../helpers/oned-template';

const VALUES = [
  'plain',
  '',
  ' blanks  around\t',
  'say "hello"',
  '"',
  '""',
  '\\"',
  '\\\\"',
  '\\n is no line end',
  'C:\\Users\\x',
  'two\nlines\n\n',
  '#!/bin/sh\n# no comment\necho "$HOME" `id`',
  ']',
  '[ A = "b" ]',
  'a,b=c',
  '",\n  INJECTED = "yes',
  '"\n]\nINJECTED = "yes"\nX = [ Y = "',
  "it's & <b> &amp; ]]",
  'Grüße, 日本語 🙂',
  '123e45',
];

/** What our side of XML reads, as libxml2 in oned would. */
function parseTemplateXml(xml: string) {
  return Element.parse(xml, 'the template')
    .children()
    .map((one) => {
      const parts = one.children();
      return [
        one.name,
        parts.length === 0 ? one.text : Object.fromEntries(parts.map((part) => [part.name, part.text])),
      ] as const;
    });
}

t.test('any value comes back from the text that oned parses', async (t) => {
  for (const value of VALUES) {
    const text = formatTemplate([
      ['A', value],
      [
        'V',
        [
          ['FIRST', value],
          ['SECOND', value],
        ],
      ],
      ['A', 'after'],
    ]);
    t.same(
      parseTemplateText(text),
      [
        ['A', value],
        ['V', { FIRST: value, SECOND: value }],
        ['A', 'after'],
      ],
      JSON.stringify(value),
    );
  }
  const all: TemplateEntry[] = VALUES.map((value, index) => [`A${index}`, value]);
  t.same(parseTemplateText(formatTemplate(all)), all, 'all in one template');
});

t.test('what it looks like', async (t) => {
  t.equal(
    formatTemplate([
      ['NAME', 'x "y"'],
      [
        'OS',
        [
          ['ARCH', 'x86_64'],
          ['BOOT', ''],
        ],
      ],
    ]),
    'NAME = "x \\"y\\""\nOS = [\n  ARCH = "x86_64",\n  BOOT = ""\n]\n',
  );
  t.equal(formatTemplate([]), '');
});

t.test('what text cannot say is said in XML', async (t) => {
  t.throws(
    () => parseTemplateText('A = "C:\\"\nB = "x"\n'),
    /Parse error/,
    'oned would indeed not understand the text',
  );
  for (const value of ['C:\\', 'even\\\\', 'mixed "quotes" <&>\r\n\\']) {
    const xml = formatTemplate([
      ['A', value],
      [
        'V',
        [
          ['B', value],
          ['C', 'c'],
        ],
      ],
      ['D', 'd'],
    ]);
    t.match(xml, /^<TEMPLATE>/, 'oned tells the forms apart by the first character');
    t.same(
      parseTemplateXml(xml),
      [
        ['A', value],
        ['V', { B: value, C: 'c' }],
        ['D', 'd'],
      ],
      JSON.stringify(value),
    );
  }
  t.same(parseTemplateXml(formatTemplate([['MY-NAME', 'x']])), [['MY-NAME', 'x']]);
});

t.test('what oned cannot store is refused by name', async (t) => {
  t.throws(() => parseTemplateText('A = "x]]>"\n'), /refused/);
  t.throws(() => formatTemplate([['SCRIPT', 'a]]>b']]), { kind: 'message', message: /SCRIPT holds "\]\]>"/ });
  t.throws(() => formatTemplate([['V', [['KEY', ']]>']]]]), { kind: 'message', message: /KEY/ });
});
