# A module system as small as it can be that does what ours does with the same fleet: typed options with priorities and defaults,
# merged from several modules, submodules by name, assertions, units rendered as text and restarted for the files that they name,
# and a derivation that holds it all. It leans on nothing but the language.
{ fleet, count }:
let
  inherit (builtins)
    all attrNames attrValues concatLists concatStringsSep elem filter foldl' fromJSON genericClosure hasAttr hashString head
    isAttrs isBool isInt isList isString length listToAttrs map mapAttrs match readFile replaceStrings sort tail toJSON
    typeOf zipAttrsWith;

  # Definitions are { file, value }; a value may be { _priority, content }.
  priorityOf = one: if isAttrs one.value && one.value ? _priority then one.value._priority else 100;
  contentOf = one: if isAttrs one.value && one.value ? _priority then one // { value = one.value.content; } else one;
  strongest = definitions:
    let best = foldl' (low: one: let own = priorityOf one; in if own < low then own else low) 9999 definitions;
    in map contentOf (filter (one: priorityOf one == best) definitions);

  scalar = description: accepts: {
    inherit description;
    merge = path: definitions:
      let
        given = strongest definitions;
        first = head given;
        wrong = filter (one: !accepts one.value) given;
        other = filter (one: one.value != first.value) given;
      in
      if wrong != [ ] then throw "${(head wrong).file}: '${path}' must be ${description}, and is ${typeOf (head wrong).value}"
      else if other != [ ] then throw "${(head other).file}: '${path}' is defined differently in ${first.file}"
      else first.value;
  };
  str = scalar "text" isString;
  bool = scalar "true or false" isBool;
  int = scalar "a whole number" isInt;
  setting = scalar "text, a number, or true or false" (value: isString value || isInt value || isBool value);
  enum = words: scalar "one of ${concatStringsSep ", " words}" (value: elem value words);
  matching = pattern: scalar "text like ${pattern}" (value: isString value && match pattern value != null);
  nullOr = inner: {
    description = "null or ${inner.description}";
    merge = path: definitions:
      let given = strongest definitions;
      in if all (one: one.value == null) given then null else inner.merge path given;
  };
  listOf = inner: {
    description = "a list, each item ${inner.description}";
    merge = path: definitions: concatLists (map
      (one:
        if isList one.value then map (item: inner.merge path [{ inherit (one) file; value = item; }]) one.value
        else throw "${one.file}: '${path}' must be a list")
      (strongest definitions));
  };
  byName = path: definitions: zipAttrsWith (name: values: values) (map
    (one:
      if isAttrs one.value then mapAttrs (name: value: { inherit (one) file; inherit value; }) one.value
      else throw "${one.file}: '${path}' must be a mapping")
    (strongest definitions));
  attrsOf = inner: {
    description = "a mapping by name, each value ${inner.description}";
    merge = path: definitions: mapAttrs (name: given: inner.merge "${path}.${name}" given) (byName path definitions);
  };
  submodule = fields: {
    description = "a mapping with ${concatStringsSep ", " (attrNames fields)}";
    merge = path: definitions:
      let
        given = byName path definitions;
        unknown = filter (name: !hasAttr name fields) (attrNames given);
      in
      if unknown != [ ] then throw "there is no option '${path}.${head unknown}'"
      else mapAttrs
        (name: field:
          if hasAttr name given then field.type.merge "${path}.${name}" given.${name}
          else field.default or (throw "'${path}.${name}' has no value"))
        fields;
  };
  field = type: default: { inherit type default; };

  section = attrsOf setting;
  names = listOf str;
  unitFields = {
    description = field str "";
    wanted_by = field names [ ];
    required_by = field names [ ];
    after = field names [ ];
    before = field names [ ];
    requires = field names [ ];
    wants = field names [ ];
    start = field (nullOr bool) null;
    reload_on_change = field bool false;
    unit = field section { };
  };
  options = {
    etc = field
      (attrsOf (submodule {
        text = field (nullOr str) null;
        source = field (nullOr str) null;
        target = field (nullOr str) null;
        kind = field (nullOr (enum [ "link" "file" "symlink" "directory" ])) null;
        mode = field (nullOr (matching "0?[0-7]{3,4}")) null;
        owner = field (matching "[A-Za-z0-9_][A-Za-z0-9._-]*") "root";
        group = field (matching "[A-Za-z0-9_][A-Za-z0-9._-]*") "root";
        replace = field bool false;
      }))
      { };
    users = field
      (attrsOf (submodule {
        uid = field (nullOr int) null;
        group = field str "";
        groups = field names [ ];
        home = field str "/nonexistent";
        create_home = field bool false;
        shell = field str "/usr/sbin/nologin";
        description = field str "";
        system = field bool true;
        purge = field bool false;
      }))
      { };
    sysctl = field (attrsOf setting) { };
    tmpfiles = field (submodule { rules = field names [ ]; }) { };
    checks = field
      (attrsOf (submodule {
        kind = { type = enum [ "http" "tcp" "command" "unit" "file" ]; };
        unit = field str "";
        url = field str "";
        interval = field int 1;
        timeout = field int 5;
        successes = field int 1;
        failures = field int 1;
      }))
      { };
    systemd = field
      (submodule {
        services = field (attrsOf (submodule (unitFields // { service = field section { }; check = field bool false; }))) { };
        timers = field (attrsOf (submodule (unitFields // { timer = field section { }; }))) { };
        units = field
          (attrsOf (submodule {
            text = field str "";
            wanted_by = field names [ ];
            required_by = field names [ ];
            start = field bool false;
            reload_on_change = field bool false;
          }))
          { };
      })
      { };
  };

  show = value: if isBool value then (if value then "yes" else "no") else toString value;
  renderSection = name: directives:
    if directives == { } then "" else
    "[${name}]\n" + concatStringsSep "" (map (key: "${key}=${show directives.${key}}\n") (attrNames directives)) + "\n";
  words = key: list: if list == [ ] then { } else { ${key} = concatStringsSep " " list; };
  rendered = suffix: section: units: listToAttrs (map
    (name:
      let
        unit = units.${name};
        described = (if unit.description == "" then { } else { Description = unit.description; })
          // words "After" unit.after // words "Before" unit.before // words "Requires" unit.requires
          // words "Wants" unit.wants // unit.unit;
      in
      {
        name = "${name}.${suffix}";
        value = {
          text = renderSection "Unit" described + renderSection section unit.${suffix};
          inherit (unit) wanted_by required_by reload_on_change;
          start = if unit.start == null then unit.wanted_by != [ ] || unit.required_by != [ ] else unit.start;
        };
      })
    (attrNames units));
  library = { config, ... }: {
    systemd.units = rendered "service" "Service" config.systemd.services // rendered "timer" "Timer" config.systemd.timers;
    checks = mapAttrs (name: service: { kind = "unit"; unit = "${name}.service"; })
      (listToAttrs (filter (one: one.value.check)
        (map (name: { inherit name; value = config.systemd.services.${name}; }) (attrNames config.systemd.services))));
  };

  isIn = part: text: replaceStrings [ part ] [ "" ] text != text;
  triggered = etc: unit:
    let found = filter (path: isIn "/etc/${path}" unit.text) (attrNames etc);
    in unit // {
      text = unit.text + concatStringsSep ""
        (map (path: "X-Restart-Triggers=${path}:${hashString "sha256" (toString etc.${path}.text)}\n") found);
    };

  assertions = config: concatLists [
    (concatLists (map
      (path:
        let entry = config.etc.${path};
        in if length (filter (name: entry.${name} != null) [ "text" "source" "target" ]) == 1 then [ ]
        else [ "etc entry '${path}' needs one of text, source and target" ])
      (attrNames config.etc)))
    (concatLists (map
      (name: if config.systemd.services.${name}.service ? ExecStart then [ ] else [ "service '${name}' has no ExecStart" ])
      (attrNames config.systemd.services)))
    (concatLists (map
      (name: if hasAttr config.checks.${name}.unit config.systemd.units then [ ] else [ "check '${name}': there is no such unit" ])
      (attrNames config.checks)))
  ];

  evaluate = modules: arguments:
    let
      given = zipAttrsWith (name: values: values)
        (map (one: mapAttrs (name: value: { inherit (one) file; inherit value; }) (one.module (arguments // { inherit config; }))) modules);
      config = mapAttrs
        (name: option: if hasAttr name given then option.type.merge name given.${name} else option.default)
        options;
    in config;

  system = host:
    let
      own = name: { file = name; module = import (fleet + "/${name}"); };
      config = evaluate [ (own "common.nix") (own "${host.role}.nix") { file = "library"; module = library; } ] { inherit host pkgs; };
      units = mapAttrs (name: triggered config.etc) config.systemd.units;
      wrong = assertions config;
    in
    if wrong != [ ] then throw (concatStringsSep "\n" wrong) else
    (derivation {
      name = "system";
      system = "builtin";
      builder = "builtin:tree";
      manifest = toJSON { inherit units; inherit (config) etc users sysctl tmpfiles checks; };
    }).outPath;

  pkgs.tool = (derivation { name = "tool"; system = "builtin"; builder = "builtin:fetchurl"; }).outPath;
in
let hosts = fromJSON (readFile (fleet + "/hosts.json"));
in map system (builtins.genList (builtins.elemAt hosts) count)
