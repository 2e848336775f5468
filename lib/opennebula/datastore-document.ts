import { Element } from './document';
import type { AbsolutePath, DatastoreId } from './ids';
import type { TemplateAttribute } from './template-file';
import { xmlText } from './xml-text';

/** The text of an attribute of a template; undefined when it is not there or a vector. */
export function singleValue(attributes: readonly TemplateAttribute[], name: string): string | undefined {
  const value = attributes.find((one) => one.name === name)?.value;
  return value === undefined || 'length' in value ? undefined : value.text;
}

/**
 * The DATASTORE element that oned would show of a datastore with this template. What only oned knows beside its id and
 * folder - owner, permissions, space, images - is what a datastore has that was just created by oneadmin.
 */
export function datastoreDocument(
  attributes: readonly TemplateAttribute[],
  { id, basePath }: { readonly id: DatastoreId; readonly basePath: AbsolutePath },
): Element {
  const own = (name: string): string => xmlText(singleValue(attributes, name)?.trim() ?? '', name);
  const permissions = [
    'OWNER_U',
    'OWNER_M',
    'OWNER_A',
    'GROUP_U',
    'GROUP_M',
    'GROUP_A',
    'OTHER_U',
    'OTHER_M',
    'OTHER_A',
  ]
    .map((name) => `<${name}>${['OWNER_U', 'OWNER_M', 'GROUP_U'].includes(name) ? 1 : 0}</${name}>`)
    .join('');
  return Element.parse(
    [
      `<DATASTORE><ID>${id}</ID><UID>0</UID><GID>0</GID><UNAME>oneadmin</UNAME><GNAME>oneadmin</GNAME>`,
      `<NAME>${own('NAME')}</NAME><PERMISSIONS>${permissions}</PERMISSIONS>`,
      `<DS_MAD>${own('DS_MAD')}</DS_MAD><TM_MAD>${own('TM_MAD')}</TM_MAD><BASE_PATH>${xmlText(basePath, 'BASE_PATH')}</BASE_PATH>`,
      '<TYPE>3</TYPE><DISK_TYPE>0</DISK_TYPE><STATE>0</STATE><CLUSTERS><ID>0</ID></CLUSTERS>',
      '<TOTAL_MB>0</TOTAL_MB><FREE_MB>0</FREE_MB><USED_MB>0</USED_MB><IMAGES></IMAGES>',
      `<TEMPLATE>${templateXml(attributes.filter(({ name }) => name !== 'NAME'))}</TEMPLATE></DATASTORE>`,
    ].join(''),
    'the template',
  );
}

/** The TEMPLATE element of these attributes, for a check of what they say. */
export function templateElement(attributes: readonly TemplateAttribute[]): Element {
  return Element.parse(`<TEMPLATE>${templateXml(attributes)}</TEMPLATE>`, 'the template');
}

/** In the order of their names, as oned stores them. */
function templateXml(attributes: readonly TemplateAttribute[]): string {
  return [...attributes]
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
    .map(({ name, value }) => {
      const content =
        'length' in value
          ? value.map((member) => `<${member.name}>${xmlText(member.value.text, name)}</${member.name}>`).join('')
          : xmlText(value.text, name);
      return `<${name}>${content}</${name}>`;
    })
    .join('');
}
