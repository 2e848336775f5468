import * as http from 'node:http';
import * as https from 'node:https';
import { firstOf } from '../abort';
import { DriverError } from '../errors';
import type { Secret } from '../secret';
import { Element, MESSAGE_LIMIT_BYTES } from './document';
import { type DatastoreId, type ImageId, parseDatastoreId, parseImageId } from './ids';
import { xmlText } from './xml-text';

/** How long one call may take. oned gives up on a whole restore after 180 s (contract, "Time limits"). */
const CALL_LIMIT_SECONDS = 30;
/** Within one.image.allocate oned runs the driver's \`stat\`, for which it waits up to 90 s (contract, "Time limits"). */
const ALLOCATE_IMAGE_LIMIT_SECONDS = 100;

type Parameter = string | number | boolean;

/**
 * The XML-RPC API of oned, as far as drivers need it, used with one session. Every failure is `oned`, or `cancelled`.
 */
export class OnedClient {
  readonly #endpoint: URL;
  readonly #session: Secret;
  readonly #signal: AbortSignal;

  constructor(endpoint: URL, session: Secret, signal: AbortSignal) {
    this.#endpoint = endpoint;
    this.#session = session;
    this.#signal = signal;
  }

  /**
   * Creates an image from that template (template-text.ts) in the datastore, which must have room for it, and returns
   * its id.
   */
  async allocateImage(template: string, datastoreId: DatastoreId): Promise<ImageId> {
    const checkNoCapacity = false;
    const parameters = [template, datastoreId, checkNoCapacity];
    const id = await this.#call('one.image.allocate', parameters, ALLOCATE_IMAGE_LIMIT_SECONDS);
    return parseImageId(id, 'the id that one.image.allocate answered', 'oned');
  }

  /** Creates a datastore in that cluster, or in the default one, and returns its id. */
  async allocateDatastore(template: string, clusterId = -1): Promise<DatastoreId> {
    const id = await this.#call('one.datastore.allocate', [template, clusterId]);
    return parseDatastoreId(id, 'the id that one.datastore.allocate answered', 'oned');
  }

  /** Returns the DATASTORE elements of all datastores that the session may see. */
  async datastores(): Promise<Element[]> {
    const xml = await this.#call('one.datastorepool.info', []);
    return this.#parse(xml, 'the datastores that oned answered').all('DATASTORE');
  }

  /** Returns the HOST elements of all hosts that the session may see. */
  async hosts(): Promise<Element[]> {
    return this.#parse(await this.#call('one.hostpool.info', []), 'the hosts that oned answered').all('HOST');
  }

  /** Creates a VM template and returns its id. */
  async allocateTemplate(template: string): Promise<number> {
    const id = await this.#call('one.template.allocate', [template]);
    if (/^[0-9]{1,10}$/.test(id)) return Number(id);
    throw this.#failure('one.template.allocate answered no id');
  }

  /** Returns the IMAGE element of an image. */
  async imageInfo(id: ImageId): Promise<Element> {
    const image = this.#parse(await this.#call('one.image.info', [id, false]), 'the image that oned answered');
    if (image.name === 'IMAGE') return image;
    throw this.#failure(`one.image.info answered <${image.name}> instead of <IMAGE>`);
  }

  /** Returns the IMAGE elements of some of all images that the session may see, in the order of their ids. */
  async imagePool(offset: number, count: number): Promise<Element[]> {
    const all = -2; // whose: oned's own number for everybody's
    const pool = this.#parse(await this.#call('one.imagepool.info', [all, offset, -count]), 'the images of oned');
    if (pool.name === 'IMAGE_POOL') return pool.all('IMAGE');
    throw this.#failure(`one.imagepool.info answered <${pool.name}> instead of <IMAGE_POOL>`);
  }

  /** Returns the DATASTORE element of a datastore; its secret attributes in clear text, if the session may see them. */
  async datastoreInfo(id: DatastoreId, decrypt = true): Promise<Element> {
    const xml = await this.#call('one.datastore.info', [id, decrypt]);
    const datastore = this.#parse(xml, 'the datastore that oned answered');
    if (datastore.name === 'DATASTORE') return datastore;
    throw this.#failure(`one.datastore.info answered <${datastore.name}> instead of <DATASTORE>`);
  }

  /** Calls a method and returns what it answered: oned's answers are the list [done?, result or message, error number]. */
  async #call(method: string, parameters: readonly Parameter[], limitSeconds = CALL_LIMIT_SECONDS): Promise<string> {
    const body = callText(method, [this.#session.reveal(), ...parameters]);
    const answer = this.#parse(await this.#post(method, body, limitSeconds), `the answer to ${method}`);
    const fault = answer.find('fault');
    if (fault !== undefined) throw this.#refusal(method, faultText(fault));
    const [done, result] = this.#reading(() =>
      answer.child('params').child('param').child('value').child('array').child('data').all('value'),
    );
    if (done === undefined || result === undefined)
      throw this.#failure(`oned answered ${method} with an incomplete list`);
    if (valueText(done) === '1') return valueText(result);
    throw this.#refusal(method, valueText(result));
  }

  #post(method: string, body: string, limitSeconds: number): Promise<string> {
    const limit = AbortSignal.timeout(limitSeconds * 1000);
    const signal = firstOf(this.#signal, limit);
    const post = this.#endpoint.protocol === 'https:' ? https.request : http.request;
    const headers = { 'Content-Type': 'text/xml', 'Content-Length': Buffer.byteLength(body) };
    return new Promise<string>((resolve, reject) => {
      const request = post(this.#endpoint, { method: 'POST', headers, signal, agent: false }, (response) => {
        if (response.statusCode === 200) return void readBounded(response).then(resolve, reject);
        response.destroy();
        reject(this.#failure(`oned answered ${method} with HTTP status ${response.statusCode}`));
      });
      request.on('error', reject);
      request.end(body);
    }).catch((cause: NodeJS.ErrnoException) => {
      if (this.#signal.aborted) throw cancelled(this.#signal, method);
      if (limit.aborted)
        throw this.#failure(`oned did not answer ${method} within ${limitSeconds} s, and may still do it`, cause);
      throw cause instanceof DriverError
        ? cause
        : this.#failure(`the call ${method} failed: ${cause.code ?? cause.message}`, cause);
    });
  }

  #parse(xml: string, what: string): Element {
    return this.#reading(() => Element.parse(xml, what));
  }

  /** What cannot be read in an answer is oned's fault, not that of the message on stdin. */
  #reading<T>(read: () => T): T {
    try {
      return read();
    } catch (cause) {
      throw this.#failure('the answer of oned is not one of its XML-RPC API', cause);
    }
  }

  /** oned understood the call and said no; its own words tell why, and might repeat the session. */
  #refusal(method: string, reason: string): DriverError {
    return new DriverError(
      'oned',
      `oned refused ${method}: ${reason.replaceAll(this.#session.reveal(), '***').replace(/\.\s*$/, '')}`,
      {
        hint: 'Correct what it names; its log is /var/log/one/oned.log',
      },
    );
  }

  /** What is there does not answer as oned does. */
  #failure(what: string, cause?: unknown): DriverError {
    const { origin, pathname } = this.#endpoint;
    return new DriverError('oned', `${what} (at ${origin}${pathname})`, {
      hint: 'Check that oned runs, and that ONE_XMLRPC or ~/.one/one_endpoint names its API',
      cause,
    });
  }
}

async function readBounded(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    bytes += chunk.length;
    if (bytes > MESSAGE_LIMIT_BYTES)
      throw new Error(`the answer is larger than ${MESSAGE_LIMIT_BYTES / 1024 / 1024} MiB`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function callText(method: string, parameters: readonly Parameter[]): string {
  const values = parameters.map((parameter) => `<param><value>${parameterText(parameter)}</value></param>`).join('');
  return `<?xml version="1.0"?><methodCall><methodName>${method}</methodName><params>${values}</params></methodCall>`;
}

function parameterText(parameter: Parameter): string {
  if (typeof parameter === 'boolean') return `<boolean>${parameter ? 1 : 0}</boolean>`;
  return typeof parameter === 'number'
    ? `<i4>${parameter}</i4>`
    : `<string>${xmlText(parameter, 'an argument of a call')}</string>`;
}

/** A value of XML-RPC without its type; a string may stand without the element that says so. */
function valueText(value: Element): string {
  return value.children()[0]?.text ?? value.text;
}

function faultText(fault: Element): string {
  const members = fault.find('value')?.find('struct')?.all('member') ?? [];
  const text = members.find((member) => member.find('name')?.text === 'faultString')?.find('value');
  return text === undefined ? 'without giving a reason' : valueText(text);
}

function cancelled(signal: AbortSignal, method: string): DriverError {
  return signal.reason instanceof DriverError
    ? signal.reason
    : new DriverError('cancelled', `the call ${method} was cancelled`, { cause: signal.reason });
}
