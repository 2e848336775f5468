import type { Host } from '../../host/host';
import type { EngineContext } from '../engine';
import type { Examination, Link, Program, Role } from '../examination';
import { folderLink } from '../examined-folder';
import { SENDER_PROGRAMS, SERVER_PROGRAMS, sparsifyPrograms } from '../known-programs';
import { throttleLinks, throttlePrograms } from '../throttle-link';
import type { RsyncConfig } from './config';

/** What the backups of an rsync datastore need. */
export function rsyncExamination(config: RsyncConfig, { datastore }: Pick<EngineContext, 'datastore'>): Examination {
  const { server, user, temporaryFolder } = config;
  const onServer = (host: Host): Link[] => [
    folderLink(host, { what: 'folder', path: datastore.basePath, isMade: true, user, on: server }),
    folderLink(host, { what: 'tmp', path: temporaryFolder, user, on: server }),
  ];
  return {
    server: { server, user },
    needsShell: true,
    programs: (role) => programs(role, config),
    links: (role, host) => {
      if (role === 'server') return onServer(host);
      return role === 'host' ? throttleLinks(config.throttle, host) : [];
    },
  };
}

function programs(role: Role, { throttle, sparsify }: RsyncConfig): readonly Program[] {
  if (role === 'front-end') return [];
  if (role === 'host') return [...SENDER_PROGRAMS, ...throttlePrograms(throttle)];
  return [...SERVER_PROGRAMS, ...sparsifyPrograms(sparsify)];
}
