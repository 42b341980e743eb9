// A plugin of typedoc: modules are called as users import them, `pg-ladder/http`, not after their files.
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Converter, ReflectionKind } from 'typedoc';
import { entries } from '../typedoc.config.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));

export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const module of project.getChildrenByKind(ReflectionKind.Module)) {
      const [file] = project.files.getReflectionPath?.(module) ?? [];
      const path = module.sources?.[0]?.fullFileName ?? project.files.getReflectionPath(module);
      const name = entries.get(relative(root, path ?? file ?? ''));
      if (name !== undefined) module.name = name;
    }
  });
}
