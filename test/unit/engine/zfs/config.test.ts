import t from 'tap';
import { parseZfsConfig, type ZfsConfig } from '../../../../lib/engine/zfs/config';
import { parseDatastore } from '../../../../lib/opennebula/datastore';
import { Element } from '../../../../lib/opennebula/document';

const parse = (host: string): ZfsConfig => {
  const template = `<ZFS_HOST><![CDATA[${host}]]></ZFS_HOST><ZFS_DATASET>tank/backups</ZFS_DATASET>`;
  const xml = `<DATASTORE><ID>100</ID><DS_MAD>zfs</DS_MAD><BASE_PATH>/b/100</BASE_PATH><TEMPLATE>${template}</TEMPLATE></DATASTORE>`;
  return parseZfsConfig(parseDatastore(Element.parse(xml, 'the datastore'), 'zfs'));
};

t.test('a server that can stand in the URL of a backup', async (t) => {
  for (const host of ['s', 'backup.example.net', '10.0.0.1', 'alias_1']) t.equal(parse(host).server, host);
  for (const host of ['::1', '[::1]', '2001:db8::5', 'fe80::1%eth0'])
    t.throws(
      () => parse(host),
      { kind: 'config', message: /ZFS_HOST.* IPv6 address cannot stand in a backup URL/ },
      host,
    );
  for (const host of ['-oProxyCommand=x', 'a b', 'user@host'])
    t.throws(() => parse(host), { kind: 'config', message: /ZFS_HOST/ }, host);
});
