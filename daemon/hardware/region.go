package hardware

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// unknownRegion is the region of a PC whose country cannot be told.
const unknownRegion = "??"

// zoneTables are the places of the list that tells the country of a time zone.
func zoneTables() []string {
	return []string{"/usr/share/zoneinfo/zone.tab", "/usr/share/zoneinfo/zone1970.tab", "/usr/share/lib/zoneinfo/zone_sun.tab"}
}

// regionByZone finds the country of the time zone the PC is set to, or "".
func regionByZone() string {
	zone := os.Getenv("TZ")
	if zone == "" {
		if target, err := filepath.EvalSymlinks("/etc/localtime"); err == nil {
			_, zone, _ = strings.Cut(target, "zoneinfo/")
		}
	}
	for _, path := range zoneTables() {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		region := countryOf(io.LimitReader(f, 1<<20), zone)
		f.Close()
		if region != "" {
			return region
		}
	}
	return ""
}

// countryOf looks a zone such as Europe/Berlin up in a table whose columns are countries, coordinates, zone. It
// returns the first country of the line, or "".
func countryOf(table io.Reader, zone string) string {
	if zone == "" {
		return ""
	}
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		columns := strings.Split(lines.Text(), "\t")
		if len(columns) >= 3 && columns[2] == zone {
			country, _, _ := strings.Cut(columns[0], ",")
			return country
		}
	}
	return ""
}

// regionByLocale reads the country out of a locale such as de_DE.UTF-8, or returns "".
func regionByLocale(locale string) string {
	m := regexp.MustCompile(`^[a-z]{2,3}[_-]([A-Z]{2})\b`).FindStringSubmatch(locale)
	if m == nil {
		return ""
	}
	return m[1]
}
