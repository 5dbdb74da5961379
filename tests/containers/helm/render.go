// Renders the chart as Helm does, and reads what comes out into Kubernetes' own types, strictly: an unknown field fails.
//
// Helm itself is no Debian package. Its engine is Go's text/template with the functions of sprig and a few of its own
// (include, toYaml, required, tpl), and those are here, from Debian. Used: chart folder, release name, values files.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

type chart struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	AppVersion string `json:"appVersion"`
}

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(folder, release string, files []string) error {
	var about chart
	if err := read(filepath.Join(folder, "Chart.yaml"), &about); err != nil {
		return err
	}
	values := map[string]any{}
	for _, file := range append([]string{filepath.Join(folder, "values.yaml")}, files...) {
		var more map[string]any
		if err := read(file, &more); err != nil {
			return err
		}
		merge(values, more)
	}
	data := map[string]any{
		"Values":  values,
		"Chart":   about,
		"Release": map[string]any{"Name": release, "Namespace": "default", "Service": "Helm"},
	}

	all := template.New("").Option("missingkey=error")
	functions := sprig.TxtFuncMap()
	delete(functions, "env") // as Helm does
	delete(functions, "expandenv")
	functions["include"] = func(name string, data any) (string, error) {
		var out bytes.Buffer
		err := all.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	functions["toYaml"] = func(value any) (string, error) {
		text, err := yaml.Marshal(value)
		return strings.TrimSuffix(string(text), "\n"), err
	}
	functions["required"] = func(message string, value any) (any, error) {
		if value == nil || value == "" {
			return nil, fmt.Errorf("%s", message)
		}
		return value, nil
	}
	all.Funcs(functions)

	found, err := filepath.Glob(filepath.Join(folder, "templates", "*"))
	if err != nil {
		return err
	}
	for _, file := range found {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if _, err := all.New(filepath.Base(file)).Parse(string(text)); err != nil {
			return err
		}
	}
	for _, file := range found {
		name := filepath.Base(file)
		if strings.HasPrefix(name, "_") {
			continue
		}
		var out bytes.Buffer
		if err := all.ExecuteTemplate(&out, name, data); err != nil {
			return err
		}
		if strings.HasSuffix(name, ".txt") {
			fmt.Fprint(os.Stderr, out.String())
			continue
		}
		for _, document := range regexp.MustCompile(`(?m)^---$`).Split(out.String(), -1) {
			if strings.TrimSpace(document) == "" {
				continue
			}
			if err := check(document); err != nil {
				return fmt.Errorf("%s: %w\n%s", name, err, document)
			}
			fmt.Printf("---\n%s\n", strings.TrimSpace(document))
		}
	}
	return nil
}

// check reads a document into the type of its kind.
func check(document string) error {
	var head struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal([]byte(document), &head); err != nil {
		return err
	}
	kinds := map[string]any{
		"v1/ConfigMap":                  &core.ConfigMap{},
		"v1/Service":                    &core.Service{},
		"apps/v1/StatefulSet":           &apps.StatefulSet{},
		"policy/v1/PodDisruptionBudget": &policy.PodDisruptionBudget{},
		// The operator's type is not Kubernetes' own.
		"monitoring.coreos.com/v1/ServiceMonitor": &map[string]any{},
	}
	into, known := kinds[head.APIVersion+"/"+head.Kind]
	if !known {
		return fmt.Errorf("unknown: %s %s", head.APIVersion, head.Kind)
	}
	return yaml.UnmarshalStrict([]byte(document), into)
}

func read(file string, into any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

func merge(into, from map[string]any) {
	for key, value := range from {
		below, isMap := value.(map[string]any)
		already, wasMap := into[key].(map[string]any)
		if isMap && wasMap {
			merge(already, below)
		} else {
			into[key] = value
		}
	}
}
