package opentsm.runtime;

import java.util.ArrayList;
import java.util.List;
import java.util.StringJoiner;

/**
 * Shows what the OPEN knows to whoever runs the card, beside its commands: no command reaches this, and nothing secret is
 * in it.
 */
final class Inspection {
    private static final String[] KINDS = {"", "issuer", "domain", "application", "load-file", "module"};

    private final CardRuntime card;

    Inspection(CardRuntime card) {
        this.card = card;
    }

    /**
     * Returns a line for each entry: kind, AID, state, privileges, Security Domain, load file, module, version,
     * contactless state, where it is selected; for a load file: its modules, and the bytes of its code. Separated by
     * tabs, binary values in hex.
     */
    String[] registry() {
        List<String> lines = new ArrayList<>();
        for (ApplicationEntry entry : card.registry.applications()) {
            lines.add(line(KINDS[entry.kind()], entry, hex(entry.state()), privileges(entry),
                    entry.loadFile().toString(), entry.module().toString(), version(entry),
                    entry.isDomain() ? "" : hex(entry.contactlessState), selections(entry)));
        }
        for (LoadFileEntry loadFile : card.registry.loadFiles()) {
            StringJoiner modules = new StringJoiner(" ");
            for (ModuleEntry module : loadFile.modules) {
                modules.add(module.toString());
            }
            lines.add(line(KINDS[loadFile.kind()], loadFile, hex(loadFile.state()), "", modules.toString(),
                    Integer.toString(loadFile.codeBytes), version(loadFile), "", ""));
        }
        return lines.toArray(new String[0]);
    }

    /**
     * Returns a line for each application and domain whose registry entry has parameters: its AID, then name=value:
     * `implicit` (CF), `head`, `group`, `listeners`, `restricted` (AIDs), `access` (A5: restriction, default, own),
     * `info` and a number of GPCLRegistryEntry.INFO_*, `memory` and a tag (bytes). Separated by tabs, values in hex.
     */
    String[] parameters() {
        List<String> lines = new ArrayList<>();
        for (ApplicationEntry entry : card.registry.applications()) {
            StringJoiner line = new StringJoiner("\t");
            ContactlessRecord record = entry.contactless;
            put(line, "implicit", Hex.encode(entry.implicitSelection, 0, entry.implicitSelection.length));
            put(line, "head", record.head == null ? "" : record.head.toString());
            put(line, "group", aids(record.group));
            put(line, "listeners", aids(record.crels));
            put(line, "restricted", aids(record.restricted));
            put(line, "access", access("restriction", record.accessRestriction)
                    + access("default", record.accessDefault) + access("own", record.access));
            record.information.forEach((info, value) -> put(line, "info" + info, Hex.encode(value, 0, value.length)));
            entry.memoryResources.forEach((tag, bytes) -> put(line, "memory" + tag, Long.toString(bytes)));
            if (line.length() > 0) {
                lines.add(entry + "\t" + line);
            }
        }
        return lines.toArray(new String[0]);
    }

    private static void put(StringJoiner line, String name, String value) {
        if (!value.isEmpty()) {
            line.add(name + "=" + value);
        }
    }

    private static String access(String name, Integer interfaces) {
        return interfaces == null ? "" : name + " " + hex((byte) (int) interfaces) + " ";
    }

    private static String aids(List<byte[]> names) {
        StringJoiner all = new StringJoiner(" ");
        names.forEach(name -> all.add(Hex.encode(name, 0, name.length)));
        return all.toString();
    }

    private static String line(String kind, RegistryEntry entry, String state, String privileges, String... rest) {
        StringJoiner line = new StringJoiner("\t");
        line.add(kind).add(entry.toString()).add(state).add(privileges).add(entry.domain().toString());
        for (String field : rest) {
            line.add(field);
        }
        return line.toString();
    }

    private static String privileges(ApplicationEntry entry) {
        byte[] encoded = new byte[3];
        Privileges.encode(entry.privileges, encoded, (short) 0);
        return Hex.encode(encoded, 0, 3);
    }

    private static String version(RegistryEntry entry) {
        byte[] version = new byte[2];
        short end = entry.getVersion(version, (short) 0);
        return Hex.encode(version, 0, end);
    }

    private static String hex(byte value) {
        return Hex.encode(new byte[] {value}, 0, 1);
    }

    /** Names the logical channels it is selected on: C for a channel of the contacts, R for one of the radio. */
    private String selections(ApplicationEntry entry) {
        StringJoiner places = new StringJoiner(" ");
        for (CardInterface side : card.interfaces) {
            for (Channel channel : side.channels) {
                if (channel.selected == entry) {
                    places.add((side.contactless() ? "R" : "C") + channel.number);
                }
            }
        }
        return places.toString();
    }
}
