# The JSON of `xpost slim` → one row a file, as text for the log or as a table for the job summary (-v form=summary).
#
# The JSON is what serde_json prints for people: its indentation says what a line belongs to, so lines are all this reads.
# Run with LC_ALL=C: names are bytes.

BEGIN {
    for (code = 32; code < 128; code++) {
        entity[sprintf("%c", code)] = "&#" code ";"
    }
    if (form == "summary") {
        print "| binary | platform | before | after | saved | debug file |"
        print "|---|---|---:|---:|---:|---:|"
    }
}

/^  "files": \[$/ { inside = 1 }
/^  \]/ { inside = 0 }
!inside { next }

/^      "(debug|input|slim)": \{$/ { part = key($0) }
/^      \}/ { part = "" }
part != "" && /^        "(path|size)": / { found[part, key($0)] = value($0) }
/^      "platform": / { platform = value($0) }
/^    \}/ { row(); split("", found) }

function row(  name, before, after, saved) {
    name = found["slim", "path"]
    sub(/^.*\//, "", name)
    before = found["input", "size"] + 0
    after = found["slim", "size"] + 0
    saved = before > 0 ? sprintf("%.1f %%", (before - after) * 100 / before) : ""
    if (form == "summary") {
        printf "| <code>%s</code> | %s | %s | %s | %s | %s |\n", neutral(name), neutral(platform), size(before), \
            size(after), saved, ("debug", "size") in found ? size(found["debug", "size"] + 0) : "none"
    } else {
        printf "slimmed %s  %s -> %s (-%s)  %s\n", name, size(before), size(after), saved, platform
    }
}

# Letters, digits, - and / as they are, the rest of ASCII as entities: that cannot be markup, a link or the end of a cell.
function neutral(text,  shown, at, char) {
    for (at = 1; at <= length(text); at++) {
        char = substr(text, at, 1)
        if (char == "\\" && substr(text, at + 1, 1) ~ /["\\]/) {
            char = substr(text, ++at, 1)
        }
        shown = shown (char ~ /[A-Za-z0-9\/-]/ || !(char in entity) ? char : entity[char])
    }
    return shown
}

function key(line) {
    sub(/^ *"/, "", line)
    sub(/".*/, "", line)
    return line
}

function value(line) {
    sub(/^ *"[A-Za-z]+": "?/, "", line)
    sub(/"?,?$/, "", line)
    return line
}

# As xpost writes sizes.
function size(bytes,  unit) {
    if (bytes < 1024) {
        return bytes " B"
    }
    for (unit = 0; bytes >= 1024 && unit < 4; unit++) {
        bytes /= 1024
    }
    return sprintf(bytes < 10 ? "%.2f %s" : "%.1f %s", bytes, substr("KiBMiBGiBTiB", unit * 3 - 2, 3))
}
