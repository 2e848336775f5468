import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import t from 'tap';
import { sessionAs } from '../../../lib/opennebula/session';
import { Secret } from '../../../lib/secret';

t.test('a session that acts as another user', async (t) => {
  const password = '5bebc3a1f2d94e3f8a6b5c4d3e2f1a0b';
  const session = sessionAs('carol m', new Secret(`serveradmin:${password}`), 1795147742);
  t.notMatch(`${session}`, /carol/, 'it does not print');
  const [server, user, token, ...more] = session.reveal().split(':');
  t.same([server, user, more], ['serveradmin', 'carol m', []]);

  t.test('openssl reads the token with the key that the contract names', async (t) => {
    const key = createHash('sha256').update(password).digest('hex').slice(0, 32);
    const hex = (text: string) => Buffer.from(text).toString('hex');
    const argv = ['enc', '-d', '-aes-256-cbc', '-a', '-A', '-K', hex(key), '-iv', hex(key.slice(0, 16))];
    t.equal(
      execFileSync('openssl', argv, { input: token as string, encoding: 'utf8' }),
      'serveradmin:carol m:1795147742',
    );
  });
  t.test('a known answer', async (t) => {
    t.equal(sessionAs('oneadmin', new Secret('serveradmin:x:y'), 7).reveal(), KNOWN);
  });
});

// printf serveradmin:oneadmin:7 | openssl enc -aes-256-cbc -a -A -K ... with the key of the password "x:y"
const KNOWN = 'serveradmin:oneadmin:t+wOh1sbdWyt36KbYB5xVb+4YMLLoNLabfu6fN8rusE=';
