// The programs of the points and of the lines. Both filter and colour in the vertex shader.

const VERTEX = `#version 300 es
layout(location = 0) in uvec2 a_position;
layout(location = 1) in uint a_time;
layout(location = 2) in uvec2 a_packed;
layout(location = 3) in uint a_mask;
uniform mat4 u_matrix;
uniform uvec2 u_centre;
uniform float u_size;
uniform uvec2 u_times;
uniform uint u_kinds;
uniform ivec3 u_numbers;
uniform uint u_quality;
uniform int u_mode;
uniform uint u_start;
uniform float u_span;
uniform sampler2D u_colours;
uniform float u_bearing;
flat out vec3 v_colour;
flat out float v_heading;
flat out float v_shown;

void main() {
  uint owner = a_packed.x & 0xffffu;
  uint camera = a_packed.x >> 16;
  uint kind = a_packed.y & 3u;
  uint quality = (a_packed.y >> 2) & 127u;
  uint heading = (a_packed.y >> 9) & 511u;
  uint organization = a_packed.y >> 18;
  bool shown = a_mask == 1u && a_time >= u_times.x && a_time <= u_times.y
    && ((u_kinds >> kind) & 1u) == 1u
    && (u_numbers.x < 0 || int(owner) == u_numbers.x)
    && (u_numbers.y < 0 || int(organization) == u_numbers.y)
    && (u_numbers.z < 0 || int(camera) == u_numbers.z)
    && (u_quality == 0u || (quality >= u_quality && quality < 101u));
  int at = 255;
  if (u_mode == 0 && a_time != 0xffffffffu) {
    at = int(clamp(float(int(a_time - u_start)) / u_span, 0.0, 1.0) * 254.0);
  } else if (u_mode == 1) {
    at = int(min(owner, 255u));
  } else if (u_mode == 2) {
    at = int(kind);
  } else if (u_mode == 3 && quality < 101u) {
    at = int(quality) * 254 / 100;
  }
  v_colour = texelFetch(u_colours, ivec2(at, 0), 0).rgb;
  v_heading = heading == 360u ? -100.0 : radians(float(heading) - u_bearing);
  v_shown = shown ? 1.0 : 0.0;
  // Integers have all digits. Their difference is small where the map is large, and wraps at the antimeridian.
  vec2 offset = vec2(ivec2(a_position - u_centre));
  gl_Position = shown ? u_matrix * vec4(offset, 0.0, 1.0) : vec4(2.0, 2.0, 2.0, 1.0);
  gl_PointSize = u_size;
}`;

const POINT = `#version 300 es
precision highp float;
flat in vec3 v_colour;
flat in float v_heading;
flat in float v_shown;
uniform float u_size;
uniform float u_radius;
uniform vec4 u_edge;
uniform vec4 u_ring;
uniform float u_diamond;
out vec4 colour;

vec4 over(vec4 top, vec4 below) { return top + below * (1.0 - top.a); }

void main() {
  if (v_shown < 0.5) discard;
  vec2 p = (gl_PointCoord - 0.5) * u_size;
  float r = u_diamond > 0.5 ? (abs(p.x) + abs(p.y)) * 0.8 : length(p);
  colour = vec4(0.0);
  float reach = u_size * 0.5;
  if (reach > u_radius * 2.0 && v_heading > -50.0) {
    // A sector of 60 degrees in the direction of the camera, which fades out.
    vec2 direction = vec2(sin(v_heading), -cos(v_heading));
    float inside = smoothstep(0.84, 0.89, dot(p / max(r, 0.001), direction));
    float fade = (1.0 - smoothstep(u_radius, reach, r)) * 0.62;
    colour = vec4(v_colour, 1.0) * (inside * fade);
  }
  if (u_ring.a > 0.0) {
    float ring = 1.0 - smoothstep(0.9, 1.7, abs(r - u_radius - 3.5 * u_ring.a));
    colour = over(vec4(u_ring.rgb, 1.0) * ring, colour);
  }
  float dot_alpha = 1.0 - smoothstep(u_radius - 0.7, u_radius + 0.7, r);
  float edge = smoothstep(u_radius - 1.9, u_radius - 0.7, r) * u_edge.a;
  vec3 fill = mix(v_colour, u_edge.rgb, edge);
  colour = over(vec4(fill, 1.0) * dot_alpha, colour);
  if (colour.a < 0.004) discard;
}`;

const LINE = `#version 300 es
precision highp float;
flat in vec3 v_colour;
flat in float v_heading;
flat in float v_shown;
uniform float u_alpha;
out vec4 colour;
void main() {
  if (v_shown < 0.5) discard;
  colour = vec4(v_colour, 1.0) * u_alpha;
}`;

function compile(gl, type, source) {
  const shader = gl.createShader(type);
  gl.shaderSource(shader, source);
  gl.compileShader(shader);
  return shader;
}

/** The programs of a context. Linking takes long, and layers are added again. */
const programs = new WeakMap();

/** The program of a kind; `uniforms` are its locations by name. */
export function programOf(gl, kind) {
  if (!programs.has(gl)) programs.set(gl, {});
  return (programs.get(gl)[kind] ??= createProgram(gl, kind));
}

function createProgram(gl, kind) {
  const program = gl.createProgram();
  gl.attachShader(program, compile(gl, gl.VERTEX_SHADER, VERTEX));
  gl.attachShader(program, compile(gl, gl.FRAGMENT_SHADER, kind === "line" ? LINE : POINT));
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    throw new Error(`the graphics driver rejects the program: ${gl.getProgramInfoLog(program)}`);
  }
  const uniforms = {};
  for (let at = 0; at < gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS); at++) {
    const { name } = gl.getActiveUniform(program, at);
    uniforms[name] = gl.getUniformLocation(program, name);
  }
  return { program, uniforms };
}
