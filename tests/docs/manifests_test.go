package docs

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"accountservice/config"
	"accountservice/tests/harness"
)

// probe is one of a container; the kubelet asks it.
type probe struct {
	HTTPGet          struct{ Path, Port string } `yaml:"httpGet"`
	PeriodSeconds    int                         `yaml:"periodSeconds"`
	TimeoutSeconds   int                         `yaml:"timeoutSeconds"`
	FailureThreshold int                         `yaml:"failureThreshold"`
}

// limit returns how long the probe may fail before the kubelet acts.
func (p probe) limit() time.Duration {
	return time.Duration(p.PeriodSeconds*p.FailureThreshold) * time.Second
}

// k8sContainer is one of a pod.
type k8sContainer struct {
	Name  string
	Args  []string
	Env   []struct{ Name, Value string }
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	Startup   probe `yaml:"startupProbe"`
	Liveness  probe `yaml:"livenessProbe"`
	Readiness probe `yaml:"readinessProbe"`
	Mounts    []struct {
		Path string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

// config is what the container's environment gives.
func (c k8sContainer) config(t *testing.T) config.Config {
	environ := slices.Clone(ofImage)
	for _, variable := range c.Env {
		environ = append(environ, variable.Name+"="+variable.Value)
	}
	return loaded(t, environ)
}

// covers is whether a volume is mounted at the folder of a file.
func (c k8sContainer) covers(file string) bool {
	for _, m := range c.Mounts {
		if m.Path == path.Dir(file) {
			return true
		}
	}
	return false
}

// manifest is an object of any kind, with the fields that the test looks at.
type manifest struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name string }
	Spec       struct {
		Selector map[string]any
		Ports    []struct {
			Target string `yaml:"targetPort"`
		}
		Replicas     int
		MinAvailable int `yaml:"minAvailable"`
		Template     struct {
			Metadata struct{ Labels map[string]any }
			Spec     struct {
				Grace      int            `yaml:"terminationGracePeriodSeconds"`
				Init       []k8sContainer `yaml:"initContainers"`
				Containers []k8sContainer
			}
		}
	}
}

// selected are the labels that the object selects pods by.
func (m manifest) selected() map[string]any {
	if labels, is := m.Spec.Selector["matchLabels"].(map[string]any); is {
		return labels
	}
	return m.Spec.Selector
}

// manifests returns the objects of each block of YAML in a document, by kind.
func manifests(t *testing.T, document string) (blocks []map[string]manifest) {
	t.Helper()
	text := harness.Read(t, document)
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(text, -1) {
		objects := map[string]manifest{}
		for decoder := yaml.NewDecoder(strings.NewReader(block[1])); ; {
			var m manifest
			if err := decoder.Decode(&m); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%v in\n%s", err, block[1])
			}
			objects[m.Kind] = m
		}
		blocks = append(blocks, objects)
	}
	return blocks
}

func TestManifestsFitTheDefaults(t *testing.T) {
	blocks := manifests(t, "../../docs/elsewhere.md")
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of YAML, want one for Bolt and one for PostgreSQL", len(blocks))
	}
	for i, kind := range []string{"StatefulSet", "Deployment"} {
		t.Run(kind, func(t *testing.T) {
			objects := blocks[i]
			set := objects[kind]
			pod := set.Spec.Template.Spec
			if len(pod.Containers) != 1 {
				t.Fatalf("%d containers in %v", len(pod.Containers), slices.Collect(maps.Keys(objects)))
			}
			c := pod.Containers[0]
			cfg := c.config(t)
			drains(t, cfg, time.Duration(pod.Grace)*time.Second)
			if len(c.Ports) != 1 || c.Ports[0].ContainerPort != cfg.HTTP.Port || cfg.HTTP.Loopback() {
				t.Errorf("the ports are %v, and http.host and port %s and %d", c.Ports, cfg.HTTP.Host, cfg.HTTP.Port)
			}
			for name, p := range map[string]probe{"/health": c.Liveness, "/health ": c.Startup, "/ready": c.Readiness} {
				if p.HTTPGet.Path != strings.TrimSpace(name) || p.HTTPGet.Port != c.Ports[0].Name || p.TimeoutSeconds < 3 {
					t.Errorf("the probe of %s is %+v", name, p)
				}
			}
			if c.Startup.limit() <= cfg.Store.Bolt.OpenTimeout || c.Liveness.FailureThreshold < 3 {
				t.Errorf("the probes %+v and %+v kill a healthy pod", c.Startup, c.Liveness)
			}
			for kind, object := range objects {
				if labels := object.selected(); !maps.Equal(labels, set.Spec.Template.Metadata.Labels) || len(labels) == 0 {
					t.Errorf("%s selects %v, and the pod has %v", kind, labels, set.Spec.Template.Metadata.Labels)
				}
				if object.APIVersion == "" || object.Metadata.Name != "accountservice" {
					t.Errorf("%s is %+v", kind, object)
				}
			}
			if ports := objects["Service"].Spec.Ports; len(ports) != 1 || ports[0].Target != c.Ports[0].Name {
				t.Errorf("the Service leads to %v", ports)
			}
			if !c.covers(cfg.Auth.TokensPath) {
				t.Errorf("%s is in no volume of %v", cfg.Auth.TokensPath, c.Mounts)
			}
			if kind == "StatefulSet" {
				onePod(t, set, c, cfg)
			} else {
				replicas(t, objects, c, cfg)
			}
		})
	}
}

// onePod has the database in its volume.
func onePod(t *testing.T, set manifest, c k8sContainer, cfg config.Config) {
	if cfg.Store.Driver != "bolt" || set.Spec.Replicas != 1 || !c.covers(cfg.Store.Bolt.Path) {
		t.Errorf("%d replicas with %s at %s, and the volumes %v", set.Spec.Replicas, cfg.Store.Driver, cfg.Store.Bolt.Path, c.Mounts)
	}
	text := harness.Read(t, "../../docs/elsewhere.md")
	said := regexp.MustCompile("startupProbe's `failureThreshold` to ([0-9]+)").FindStringSubmatch(text)
	if said == nil {
		t.Fatal("the document does not say how long a restore may take")
	}
	fmt.Sscan(said[1], &c.Startup.FailureThreshold)
	if c.Startup.limit() <= cfg.Store.Bolt.RestoreTimeout+time.Minute {
		t.Errorf("a start may take %s, and store.bolt.restore_timeout is %s", c.Startup.limit(), cfg.Store.Bolt.RestoreTimeout)
	}
}

// replicas are replaced while the others serve.
func replicas(t *testing.T, objects map[string]manifest, c k8sContainer, cfg config.Config) {
	set, budget := objects["Deployment"], objects["PodDisruptionBudget"]
	if cfg.Store.Driver != "postgres" || budget.Spec.MinAvailable < 1 || budget.Spec.MinAvailable >= set.Spec.Replicas {
		t.Errorf("%d replicas with %s, of which %d must be available", set.Spec.Replicas, cfg.Store.Driver, budget.Spec.MinAvailable)
	}
	if cfg.HTTP.DrainDelay <= 2*c.Readiness.limit() {
		t.Errorf("http.drain_delay is %s, and /ready is asked for %s", cfg.HTTP.DrainDelay, c.Readiness.limit())
	}
	init := set.Spec.Template.Spec.Init
	if len(init) != 1 || !slices.Equal(init[0].Args, []string{"migrate", "up"}) || init[0].config(t).Store.Postgres.URL != cfg.Store.Postgres.URL {
		t.Errorf("the schema is made by %+v", init)
	}
}
