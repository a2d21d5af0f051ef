package redact

import (
	"encoding/json"
	"reflect"

	"github.com/flawless-engine/flawless"
)

// Shown returns a masked copy of v: every text in it, and every body and JSON text, goes through the mask. A field
// with the tag redact:"-" is not masked, because what a run returns or publishes belongs to its clients. v is not
// modified.
func Shown[T any](m *Mask, v T) T {
	in := reflect.ValueOf(&v).Elem()
	out, _ := m.shown(in).Interface().(T)
	return out
}

var (
	bodies = reflect.TypeFor[flawless.Bytes]()
	texts  = reflect.TypeFor[json.RawMessage]()
)

func (m *Mask) shown(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.String:
		if s := v.String(); s != "" {
			return reflect.ValueOf(m.Text(s)).Convert(v.Type())
		}
	case reflect.Slice:
		switch {
		case v.IsNil() && v.Type().Elem().Kind() != reflect.Uint8:
			return reflect.MakeSlice(v.Type(), 0, 0) // an empty list is [] in JSON, not null
		case v.IsNil():
		case v.Type() == bodies || v.Type() == texts:
			return reflect.ValueOf(m.Bytes(v.Bytes())).Convert(v.Type())
		case v.Type().Elem().Kind() != reflect.Uint8:
			out := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
			for i := range v.Len() {
				out.Index(i).Set(m.shown(v.Index(i)))
			}
			return out
		}
	case reflect.Map:
		if v.IsNil() {
			return v
		}
		out := reflect.MakeMapWithSize(v.Type(), v.Len())
		for each := v.MapRange(); each.Next(); {
			out.SetMapIndex(each.Key(), m.shown(each.Value()))
		}
		return out
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		out := reflect.New(v.Type().Elem())
		out.Elem().Set(m.shown(v.Elem()))
		return out
	case reflect.Interface:
		if v.IsNil() {
			return v
		}
		out := reflect.New(v.Type()).Elem()
		out.Set(m.shown(v.Elem()))
		return out
	case reflect.Struct:
		out := reflect.New(v.Type()).Elem()
		out.Set(v)
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("redact") != "-" {
				out.Field(i).Set(m.shown(v.Field(i)))
			}
		}
		return out
	}
	return v
}
