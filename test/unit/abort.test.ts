import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { abortController, firstOf } from '../../lib/abort';

t.test('the first of some signals', async (t) => {
  const [one, other] = [new AbortController(), new AbortController()];
  const first = firstOf(one.signal, other.signal);
  t.equal(first.aborted, false);
  other.abort('why');
  t.equal(first.aborted, true);
  one.abort('late');
  t.equal(first.reason, 'why');
  t.equal(firstOf(AbortSignal.abort('before'), new AbortController().signal).reason, 'before');
});

t.test('many may listen, and stderr stays as the contract has it', async (t) => {
  const warnings: string[] = [];
  const note = ({ message }: Error): unknown => warnings.push(message);
  process.on('warning', note);
  t.teardown(() => process.removeListener('warning', note));
  const listen = (signal: AbortSignal): void => {
    for (let n = 0; n < 30; n++) signal.addEventListener('abort', () => {});
  };
  const { signal } = abortController();
  listen(signal);
  listen(firstOf(signal));
  await turn();
  t.strictSame(warnings, []);
  listen(new AbortController().signal);
  await turn();
  t.match(warnings, [/abort listeners/], 'one that is not made for it is warned of');
});
