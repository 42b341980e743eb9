// Changes settings of a running server, and waits until it has read them.
import { type Ask, until } from './control.js';
import { formatSetting } from './data-directory.js';

/** Settings to change; `null` takes one back to what the node was started with. */
export type SettingChanges = Readonly<Record<string, string | number | boolean | null>>;

/** Resolves when the server has read the settings. @param name of the node, for errors */
export async function configure(ask: Ask, name: string, settings: SettingChanges): Promise<void> {
  const [before] = await ask<{ loaded: string }>('select concat(pg_conf_load_time()) as loaded');
  for (const [setting, value] of Object.entries(settings)) {
    const quoted = `"${setting.replaceAll('"', '""')}"`;
    // E'' with doubled backslashes reads the same whatever standard_conforming_strings says.
    const literal = value === null ? '' : formatSetting(value).replaceAll('\\', '\\\\').replaceAll("'", "''");
    await ask(value === null ? `alter system reset ${quoted}` : `alter system set ${quoted} = E'${literal}'`);
  }
  await ask('select pg_reload_conf()');
  await until(
    async () => {
      // The postmaster reads the files before it tells any other process to.
      const [now] = await ask<{ loaded: string }>('select concat(pg_conf_load_time()) as loaded');
      return now?.loaded !== before?.loaded;
    },
    { what: `${name} to reload its configuration`, everyMillis: 2 },
  );
}
