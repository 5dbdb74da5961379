<?php
// A tool server for voxtrad in PHP, without any package: answers `lookup_order` of config/tools/orders.yaml.
//
//   TOOLS_SECRET=whsec_… php -S 127.0.0.1:9000 index.php        or behind any web server
//
// voxtrad posts {"type": "tool.call", "data": {"tool": {"name", "arguments", …}, "call": {…}, …}} and signs it by
// Standard Webhooks. What it may be answered: README.md beside this folder.
declare(strict_types=1);

const TOLERANCE = 300; // seconds that the two clocks may be apart
const LARGEST = 64 * 1024; // bytes of a request

// --- what the agent can do: a function for each tool, from its arguments to its answer -------------------------------

const ORDERS = [
    '1234' => ['status' => 'on its way, and arrives tomorrow'],
    '2345' => ['status' => 'ready for collection'],
    '12343' => ['status' => 'in preparation'],
];

function tools(): array
{
    return [
        'lookup_order' => function (array $arguments): array {
            $id = (string) ($arguments['order_id'] ?? '');
            $order = ORDERS[$id] ?? ['status' => 'not one that I can find'];
            return ['result' => ['order_id' => $id] + $order];
        },
    ];
}

// --- Standard Webhooks: the signature is over "id.timestamp.body" ----------------------------------------------------

function is_signed(array $headers, string $body, string $secret): bool
{
    ['id' => $id, 'timestamp' => $timestamp, 'signature' => $signatures] = $headers;
    if ($id === '' || !ctype_digit($timestamp) || abs(time() - (int) $timestamp) > TOLERANCE) {
        return false;
    }
    $key = base64_decode(preg_replace('/^whsec_/', '', $secret));
    $expected = base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $key, true));
    foreach (explode(' ', $signatures) as $part) { // there are several while a secret is rotated
        if (hash_equals("v1,$expected", $part)) {
            return true;
        }
    }
    return false;
}

// --- HTTP ------------------------------------------------------------------------------------------------------------

function answer(): array
{
    $path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
    if ($_SERVER['REQUEST_METHOD'] === 'GET' && $path === '/') {
        return [200, ['tools' => array_keys(tools())]];
    }
    if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
        return [405, ['error' => ['message' => 'POST only']]];
    }
    $body = file_get_contents('php://input', length: LARGEST + 1);
    if (strlen($body) > LARGEST) {
        return [413, ['error' => ['message' => 'too large']]];
    }
    $headers = [];
    foreach (['id', 'timestamp', 'signature'] as $name) {
        $headers[$name] = $_SERVER['HTTP_WEBHOOK_' . strtoupper($name)] ?? '';
    }
    $secret = getenv('TOOLS_SECRET') ?: 'whsec_dGhlLXN0YXJ0ZXItc2VjcmV0LW9mLXZveHRyYWQtZGVtbw==';
    if (!is_signed($headers, $body, $secret)) {
        return [401, ['error' => ['message' => 'the signature is wrong']]];
    }
    $tool = json_decode($body, true, flags: JSON_THROW_ON_ERROR)['data']['tool'];
    $run = tools()[$tool['name']] ?? null;
    if ($run === null || $path !== "/tools/{$tool['name']}") {
        return [404, ['error' => ['message' => "there is no tool {$tool['name']}"]]];
    }
    return [200, $run($tool['arguments'])];
}

try {
    [$status, $value] = answer();
} catch (Throwable $error) {
    error_log((string) $error);
    [$status, $value] = [500, ['error' => ['message' => 'something broke']]];
}
http_response_code($status);
header('Content-Type: application/json');
echo json_encode($value, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES);
