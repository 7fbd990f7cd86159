package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// field is one setting as its tags describe it.
type field struct {
	index   int
	key     string
	restart bool
	doc     string
}

func fields() []field {
	t := reflect.TypeFor[Settings]()
	out := make([]field, t.NumField())
	for i := range out {
		tag := t.Field(i).Tag
		out[i] = field{index: i, key: tag.Get("toml"), restart: tag.Get("apply") == "restart", doc: tag.Get("doc")}
	}
	return out
}

func fieldOf(key string) (field, bool) {
	all := fields()
	i := slices.IndexFunc(all, func(f field) bool { return f.key == key })
	if i < 0 {
		return field{}, false
	}
	return all[i], true
}

func (f field) of(s *Settings) reflect.Value { return reflect.ValueOf(s).Elem().Field(f.index) }

func (f field) equal(a, b *Settings) bool {
	return reflect.DeepEqual(f.of(a).Interface(), f.of(b).Interface())
}

// variable is the environment variable of the setting.
func (f field) variable() string { return "SHOAL_" + strings.ToUpper(f.key) }

// set reads text, as it stands in a variable or a flag, into the setting.
func (f field) set(s *Settings, text string) error {
	v := f.of(s)
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Slice:
		v.Set(reflect.ValueOf(splitList(text)))
	case reflect.Bool:
		on, err := strconv.ParseBool(strings.TrimSpace(text))
		if err != nil {
			return invalid(f.key, "%s must be true or false, not %q", f.key, text)
		}
		v.SetBool(on)
	default:
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil || v.OverflowInt(n) {
			return invalid(f.key, "%s must be a whole number, not %q", f.key, text)
		}
		v.SetInt(n)
	}
	return nil
}

func splitList(text string) []string {
	out := []string{}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// Change names the settings that differ after an update, by their keys.
type Change struct {
	Applied []string // in effect, some from the next load of a model on
	Restart []string // in effect after a restart
}

func difference(from, to *Settings) Change {
	c := Change{Applied: []string{}, Restart: []string{}}
	for _, f := range fields() {
		switch {
		case f.equal(from, to):
		case f.restart:
			c.Restart = append(c.Restart, f.key)
		default:
			c.Applied = append(c.Applied, f.key)
		}
	}
	return c
}

// clone copies s so that neither shares a slice with the other, also a setting that is yet to come.
func (s Settings) clone() Settings {
	all := reflect.ValueOf(&s).Elem()
	for i := range all.NumField() {
		if v := all.Field(i); v.Kind() == reflect.Slice {
			own := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
			reflect.Copy(own, v)
			v.Set(own)
		}
	}
	return s
}
