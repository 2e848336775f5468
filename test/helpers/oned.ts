import { createDecipheriv, createHash } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseTemplateText } from './oned-template';

/** The password of serveradmin in the stub, as `<VAR>/.one/onegate_auth` would hold it after `serveradmin:`. */
export const SERVERADMIN_PASSWORD = '7a1f0c5be2d94e3f8a6b5c4d3e2f1a0b9c8d7e6f';
/** The line of `~/.one/one_auth` that the stub accepts. */
export const ONE_AUTH = 'oneadmin:open & <sesame>';

/** One call that the stub got. */
export interface OnedCall {
  readonly method: string;
  /** The parameters after the session. */
  readonly params: readonly (string | number | boolean)[];
  /** As whom oned would act; undefined when the session was refused. */
  readonly user: string | undefined;
  /** Whether the session was that of ONE_AUTH, or made by serveradmin for the user. */
  readonly via: 'plain' | 'serveradmin' | undefined;
  /** When a serveradmin session ends, in seconds since 1970. */
  readonly expiresAt?: number;
}

/** What a test can make the stub do. */
export interface OnedBehaviour {
  /** Call number `nth` (from 1) of that method is refused with that message. */
  readonly refuse?: { readonly method: string; readonly nth: number; readonly message: string };
  /** The XML that one.datastore.info answers, per datastore id; one.datastorepool.info answers all of them. */
  readonly datastores?: Readonly<Record<number, string>>;
  /** The names of the hosts that one.hostpool.info answers. */
  readonly hosts?: readonly string[];
  /** The XML of images that one.image.info answers, and one.imagepool.info page by page. */
  readonly images?: readonly string[];
  /** Answers instead of oned: status and body; `'never'` keeps the caller waiting. */
  readonly raw?: { readonly status: number; readonly body: string } | 'never';
}

/** A running stub of oned's XML-RPC API. */
export interface OnedStub {
  /** To be given as ONE_XMLRPC. */
  readonly endpoint: string;
  readonly calls: OnedCall[];
  behaviour: OnedBehaviour;
  close(): Promise<void>;
}

/** Starts a stub that speaks XML-RPC as oned does: images count from 40, templates from 7, datastores from 104; templates must parse. */
export async function startOned(behaviour: OnedBehaviour = {}): Promise<OnedStub> {
  const ids: Record<string, number> = {
    'one.image.allocate': 40,
    'one.template.allocate': 7,
    'one.datastore.allocate': 104,
  };
  const server = createServer(async (request, response) => {
    const body = await bodyOf(request);
    if (stub.behaviour.raw === 'never') return;
    if (stub.behaviour.raw !== undefined) {
      response.writeHead(stub.behaviour.raw.status).end(stub.behaviour.raw.body);
      return;
    }
    response.writeHead(200, { 'Content-Type': 'text/xml; charset=utf-8' }).end(answerText(answer(body)));
  });
  const stub: OnedStub = {
    endpoint: '',
    calls: [],
    behaviour,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  const answer = (body: string): [boolean, string | number, number] => {
    const call = decodeCall(body);
    stub.calls.push(call);
    const { method, params } = call;
    const { refuse, datastores } = stub.behaviour;
    if (call.user === undefined) return [false, `[${method}] User couldn't be authenticated, aborting call.`, 0x0100];
    const count = stub.calls.filter((one) => one.method === method).length;
    if (refuse?.method === method && refuse.nth === count) return [false, refuse.message, 0x0800];
    if (method === 'one.datastore.info') {
      const xml = datastores?.[Number(params[0])];
      return xml === undefined
        ? [false, `[${method}] Error getting datastore [${params[0]}].`, 0x0400]
        : [true, xml, 0];
    }
    if (method === 'one.datastorepool.info') {
      return [true, `<DATASTORE_POOL>${Object.values(datastores ?? {}).join('')}</DATASTORE_POOL>`, 0];
    }
    if (method === 'one.hostpool.info') {
      const hosts = (stub.behaviour.hosts ?? []).map(
        (name, id) => `<HOST><ID>${id}</ID><NAME>${name}</NAME><STATE>2</STATE></HOST>`,
      );
      return [true, `<HOST_POOL>${hosts.join('')}</HOST_POOL>`, 0];
    }
    if (method === 'one.imagepool.info' && stub.behaviour.images !== undefined) {
      const [, offset, count] = params.map(Number) as [number, number, number];
      return [true, `<IMAGE_POOL>${stub.behaviour.images.slice(offset, offset - count).join('')}</IMAGE_POOL>`, 0];
    }
    if (method === 'one.image.info') {
      const xml = stub.behaviour.images?.find((image) => image.includes(`<ID>${params[0]}</ID>`));
      return xml === undefined ? [false, `[${method}] Error getting image [${params[0]}].`, 0x0400] : [true, xml, 0];
    }
    if (!(method in ids)) return [false, `[${method}] Unknown method`, 0x1000];
    try {
      if (!String(params[0]).startsWith('<')) parseTemplateText(String(params[0]));
    } catch (error) {
      return [false, `[${method}] ${(error as Error).message}`, 0x0800];
    }
    const id = ids[method] as number;
    ids[method] = id + 1;
    return [true, id, 0];
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(stub, { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}/RPC2` });
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function decodeCall(body: string): OnedCall {
  const method = /<methodName>([^<]*)<\/methodName>/.exec(body)?.[1] ?? '';
  const values = [...body.matchAll(/<value><(string|i4|boolean)>([^<]*)<\/\1><\/value>/g)].map(([, type, text]) => {
    if (type === 'string') return unescaped(text as string);
    return type === 'i4' ? Number(text) : text === '1';
  });
  const [session, ...params] = values;
  return { method, params, ...authenticate(String(session)) };
}

const ENTITIES: Record<string, string> = { lt: '<', gt: '>', quot: '"', apos: "'", '#13': '\r', amp: '&' };

/** As an XML parser would: a bare carriage return becomes a line feed, a reference to one stays. */
function unescaped(text: string): string {
  return text.replace(/\r\n?/g, '\n').replace(/&([^;]*);/g, (whole, name: string) => ENTITIES[name] ?? whole);
}

/** Who a session is; oned decrypts the token with serveradmin's key and compares it with the clear part. */
function authenticate(session: string): Pick<OnedCall, 'user' | 'via' | 'expiresAt'> {
  const refused = { user: undefined, via: undefined };
  if (session === ONE_AUTH) return { user: 'oneadmin', via: 'plain' };
  const [server, user, token] = session.split(':');
  if (server !== 'serveradmin' || !user || !token) return refused;
  try {
    const key = Buffer.from(createHash('sha256').update(SERVERADMIN_PASSWORD).digest('hex')).subarray(0, 32);
    const cipher = createDecipheriv('aes-256-cbc', key, key.subarray(0, 16));
    const clear = Buffer.concat([cipher.update(Buffer.from(token, 'base64')), cipher.final()]).toString('utf8');
    const [clearServer, clearUser, expiry] = clear.split(':');
    const valid =
      clearServer === server &&
      clearUser === user &&
      /^[0-9]+$/.test(expiry ?? '') &&
      Number(expiry) > Date.now() / 1000;
    return valid ? { user, via: 'serveradmin', expiresAt: Number(expiry) } : refused;
  } catch {
    return refused;
  }
}

function answerText(values: [boolean, string | number, number]): string {
  const texts = values.map((value) => {
    if (typeof value === 'boolean') return `<value><boolean>${value ? 1 : 0}</boolean></value>`;
    if (typeof value === 'number') return `<value><i4>${value}</i4></value>`;
    return `<value><string>${value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')}</string></value>`;
  });
  const list = `<value><array><data>\r\n${texts.join('\r\n')}\r\n</data></array></value>`;
  return `<?xml version="1.0" encoding="UTF-8"?>\r\n<methodResponse>\r\n<params>\r\n<param>${list}</param>\r\n</params>\r\n</methodResponse>\r\n`;
}
