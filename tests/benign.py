"""Requests of people, applications and partners of a shop that look a little like attacks and are none.

Seeded: the same requests at every run. What stands here is a kind of traffic, with the words, names and numbers drawn.
"""

import base64
import json
import random
from urllib.parse import quote, quote_plus

BRANDS = [
    "O'Reilly",
    "L'Oréal",
    "Levi's",
    "H&M",
    "AT&T",
    "Dolce & Gabbana",
    "Dr. Oetker",
    "M*A*S*H",
    "C++",
    "C#",
    ".NET",
    "Häagen-Dazs",
    "Yahoo!",
    "7-Eleven",
    "3M",
    "O.P.I",
]
SEARCHES = [
    "select size drop earrings", "update my account", "union square bag", "12 union street", "european union flag", "black and white shoes",
    "rock 'n' roll shirt", "bob's or alice's", "5'11 table", '24" monitor', '3/4" pipe', "size 10 or 11", "men and women", "like new", "having fun mug",
    "group by brand", "order by phone", "insert coin", "delete order", "create account", "table lamp (second hand)", "sleep mask (2 pack)", "case when packing",
    "cat tree xl", "head phones -wired", "tail light", "more less", "top 10 gifts", "find my order", "whois book", "echo dot", "kill bill dvd", "time and date",
    "id card holder", "who made this", "w shaped desk", "ping pong set", "curl cream", "wget shirt", "python book for kids", "java coffee", "ruby ring", "perl necklace",
    "bash guitar", "node shoes", "go kart", "php elephant plush", "docker pants", "shell necklace", "windows curtains", "linux mug", "system of a down",
    "alert (loud) smoke", "window top curtain", "document holder a4", "javascript book", "script lettering", "frame 30x40", "body lotion", "form boards", "style guide", "object of desire",
    "iframe tv mount", "input jack 3.5mm", "a < b sticker", "i <3 you", "x -> y t-shirt", "1+1=2 poster", "100% cotton", "50% off!!", "c# in depth", "what is 2^8", "#1 dad",
    "wait... what", "9 to 5", "24/7", "and/or", "true or false", "null island shirt", "is it real", "between 10 and 20", "not in stock", "in (stock)", "lang:de", "price:10..50",
    "iphone 15 (128gb)", "usb-c->hdmi", "t-shirt [red]", "{curly} straws", "$10 shirts", "€20", "size: m; color: red", "red;blue", "new; used", "a|b testing", "me & you",
    "if equal", "for all", "while stocks last", "import export", "format disk toy", "start kit", "set menu", "get help", "new arrivals", "print on demand", "host gift", "date night",
    "env bag", "at home", "as seen on tv", "test kit", "make up", "join us", "split pea", "paste wax", "cut glass", "sort box", "http/2 sticker", "mail order (list)", "exec chair", "eval kit",
    "base64 mug", "data: the book", "url shortener", "file: a4 folder", "etc", "etc.", "usr manual", "password manager book", "admin desk", "root vegetables", "config kit",
    "牛仔裤 男 加绒", "保温杯(500ml)", "连衣裙 & 外套", "100元以下", "シャツ", "Schuhe für Männer", "crème brûlée", "piñata", "größe 42", "🎁 gift",
]  # fmt: skip
WORDS = [
    "red",
    "blue",
    "cotton",
    "summer",
    "winter",
    "kids",
    "sale",
    "new",
    "classic",
    "slim",
    "oversize",
    "leather",
    "vegan",
    "bamboo",
    "outdoor",
    "travel",
    "office",
]
AGENTS = [
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.54(0x18003631) NetType/WIFI Language/zh_CN",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Safari/537.36",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2; Trident/6.0; Touch; .NET4.0E; .NET4.0C; Media Center PC 6.0)",
    "UCWEB/2.0 (Java; U; MIDP-2.0; id; nokia5130) U2/1.0.0 UCBrowser/9.4 Mobile",
    "Mozilla/5.0 (Linux; U; Android 4.4.2; id; SM-G900 Build/KOT49H) AppleWebKit/534.30 Mobile Safari/534.30",
    "Dalvik/2.1.0 (Linux; U; Android 14; SM-S918B Build/UP1A.231005.007)", "okhttp/4.12.0", "ShopApp/7.4.1 (iOS 18.3; iPhone16,2; Scale/3.00)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", "Prometheus/2.53.0", "kube-probe/1.31", "Apache-HttpClient/5.3 (Java/21.0.4)", "python-requests/2.32.3",
]  # fmt: skip


class Shop:
    """Draws requests; `request()` is (method, target, referrer, agent)."""

    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.kinds = [value for name, value in vars(type(self)).items() if name.startswith("of_")]

    def request(self):
        kind = self.draw.choice(self.kinds)
        method, target = kind(self)
        referrer = (
            "-"
            if self.draw.random() < 0.4
            else "https://shop.example.com" + self.draw.choice(self.kinds)(self)[1]
        )
        return method, target, referrer, self.draw.choice(AGENTS)

    def lines(self, number):
        for _ in range(number):
            method, target, referrer, agent = self.request()
            second = self.draw.randrange(3600)
            yield (
                f"192.0.2.{self.draw.randrange(1, 250)} - - [02/Mar/2026:10:{second // 60:02d}:{second % 60:02d} +0000] "
                f'"{method} {target} HTTP/1.1" 200 {self.draw.randrange(99999)} "{referrer}" "{agent}"'
            )

    def _token(self, size=24):
        return base64.urlsafe_b64encode(self.draw.randbytes(size)).decode().rstrip("=")

    def _phrase(self):
        if self.draw.random() < 0.6:
            return self.draw.choice(SEARCHES)
        return f"{self.draw.choice(BRANDS)} {self.draw.choice(WORDS)} {self.draw.choice(WORDS)}"

    def of_searches(self):
        quoted = self.draw.choice([quote, quote_plus])(self._phrase())
        return (
            "GET",
            f"/search?q={quoted}&page={self.draw.randrange(1, 9)}&sort={self.draw.choice(['price', '-price', 'new', 'type'])}",
        )

    def of_searches_in_gbk(self):
        word = self.draw.choice(
            ["牛仔裤", "保温杯", "手机壳", "羽绒服", "连衣裙", "运动鞋", "口红", "充电宝"]
        )
        return "GET", f"/search?q={quote(word.encode('gbk'))}&enc=gbk"

    def of_filters(self):
        low = self.draw.randrange(100)
        return "GET", self.draw.choice([
            f"/c/shoes?price={low}..{low + 50}&size[]=42&size[]=43",
            f"/api/products?filter[price][gte]={low}&filter[stock][ne]=0&fields=id,name,price",
            f"/api/products?price_min={low}&price_max={low + 100}&in_stock=true&order=price%20desc",
            f"/api/v1/orders?created_at=2026-03-01..2026-03-31&status=paid,shipped&limit=100&offset={low}00",
            f"/api/search?q=price%3E%3D{low}%20AND%20stock%3Atrue",
            f"/c/men?color=%23ff{low:02d}aa&view=grid",
        ])  # fmt: skip

    def of_json_parameters(self):
        value = {"brand": self.draw.choice(BRANDS), "in_stock": True, "price": {"gt": 3, "lt": self.draw.randrange(500)},
                 "sort": ["-price", "name"], "url": "https://shop.example.com/p/1?a=b", "note": self._phrase()}  # fmt: skip
        return "GET", f"/api/filter?query={quote(json.dumps(value, ensure_ascii=False))}"

    def of_graphql(self):
        query = self.draw.choice([
            "query($id:ID!){product(id:$id){name price{amount currency} images(first:3){url}}}",
            "{products(first:10,filter:{price:{gt:5}}){edges{node{id title}}}}",
            "query Cart{cart{items{sku qty} total}}",
            "mutation($s:String!){addToCart(sku:$s){id}}",
            "{products_by_pk(id:4){name users_aggregate(where:{active:true}){count}}}",
        ])  # fmt: skip
        variables = quote(json.dumps({"id": self.draw.randrange(9999), "s": self._token(6)}))
        return "GET", f"/graphql?query={quote(query)}&variables={variables}&operationName=Product"

    def of_redirects(self):
        inner = f"https://shop.example.com/account?tab=orders&ref={self._token(6)}&q={quote(self._phrase())}"
        return "GET", self.draw.choice([
            f"/oauth/authorize?response_type=code&client_id=shop&redirect_uri={quote(inner, safe='')}&state={self._token()}&scope=openid%20email&code_challenge={self._token(32)}&code_challenge_method=S256",
            f"/login?next={quote('/checkout?step=2&coupon=SPRING', safe='')}",
            f"/out?to={quote('https://partner.example/landing?src=shop&u=' + quote(inner, safe=''), safe='')}",
            f"/callback?code={self._token()}&state={self._token()}&iss=https%3A%2F%2Faccounts.example.com",
        ])  # fmt: skip

    def of_marketing(self):
        return "GET", (
            f"/p/{self.draw.randrange(9999)}?utm_source=news&utm_medium=e-mail&utm_campaign={quote_plus(self._phrase())}"
            f"&gclid={self._token(60)}&fbclid=IwAR{self._token(40)}&_ga=2.{self.draw.randrange(10**9)}.{self.draw.randrange(10**9)}"
        )

    def of_measurement(self):
        return "POST", (
            f"/collect?v=2&tid=G-{self._token(6)}&dl={quote('https://shop.example.com/search?q=' + quote(self._phrase()), safe='')}"
            f"&dt={quote(self._phrase() + ' | Shop')}&sr=1920x1080&en=view_item&ep.price={self.draw.randrange(999)}.99&_et={self.draw.randrange(9999)}"
        )

    def of_tokens(self):
        jwt = ".".join(self._token(n) for n in (27, 90, 32))
        return "GET", self.draw.choice([
            f"/api/me?access_token={jwt}", f"/verify?token={self._token(48)}&email={quote('anna+shop@example.net')}",
            f"/dl/invoice.pdf?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20260302%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Signature={self.draw.randbytes(32).hex()}",
            f"/unsubscribe?h={quote(base64.b64encode(self.draw.randbytes(30)).decode(), safe='')}",
        ])  # fmt: skip

    def of_pictures(self):
        return "GET", self.draw.choice([
            f"/_next/image?url=%2F_next%2Fstatic%2Fmedia%2Fhero.{self._token(6)}.webp&w=640&q=75",
            f"/cdn-cgi/image/width=80,quality=75,format=auto/media/{self.draw.randrange(9999)}.jpg",
            f"/img/resize?src=/media/p/{self.draw.randrange(9999)}.jpg&w=300&h=300&fit=crop",
            f"/media/catalog/product/cache/{self.draw.randbytes(8).hex()}/a/b/{self.draw.choice(WORDS)}_{self.draw.randrange(99)}.jpg",
            f"/static/js/main.{self.draw.randbytes(4).hex()}.chunk.js", "/favicon.ico?v=2", "/manifest.webmanifest", "/.well-known/apple-app-site-association",
        ])  # fmt: skip

    def of_texts(self):
        text = self.draw.choice([
            "Great shoes! I'd buy them again; my wife's pair (size 38) is fine, too.", "Does it fit 5'10\" / 70kg? Thanks :-)", "Colour isn't as shown -- returned it.",
            "Works with Linux & Windows, see https://shop.example.com/help?topic=drivers.", "10/10 => would recommend <3", "Please call +49 (0)30 1234567 or mail me: anna@example.net",
            "Is the 2nd item = the 1st item? If so: cancel it.", "I select the blue one from the set, where can I order?", "I'd like 2 or 3 of them and a bag.", "很好,下次还来!(推荐)",
        ])  # fmt: skip
        return "POST", f"/api/reviews?text={quote(text)}&stars={self.draw.randrange(1, 6)}"

    def of_addresses(self):
        street = self.draw.choice(
            [
                "12 Union Street",
                "O'Connell St. 4/5",
                "Rue de l'Église 3",
                "5th Ave & 42nd St",
                "Straße des 17. Juni 135",
                "Apt #4; 2nd floor",
            ]
        )
        return (
            "GET",
            f"/api/shipping?street={quote_plus(street)}&city={quote(self.draw.choice(['Köln', 'Saint-Denis', '上海', 'São Paulo']))}&zip={self.draw.randrange(10000, 99999)}",
        )

    def of_dates_and_numbers(self):
        return "GET", self.draw.choice([
            f"/api/slots?from=2026-03-02T10%3A00%3A00%2B01%3A00&to=2026-03-09T10:00:00Z&tz=Europe/Berlin&t={self.draw.randrange(10**12, 2 * 10**12)}",
            f"/track?id=1Z{self.draw.randrange(10**15)}&lat=52.52&lng=-13.40", "/calc?expr=3%2B4*2", f"/api/stock?ids={','.join(str(self.draw.randrange(9999)) for _ in range(9))}",
            f"/compare?a={self.draw.randrange(999)}&b={self.draw.randrange(999)}&a=b", "/version?v=1.2.3-rc.1+build.5",
        ])  # fmt: skip

    def of_platforms(self):
        return self.draw.choice([
            ("GET", f"/wp-content/plugins/woocommerce/assets/js/frontend/cart-fragments.min.js?ver=9.{self.draw.randrange(9)}.1"),
            ("GET", f"/wp-content/uploads/2026/03/{self.draw.choice(WORDS)}-600x600.jpg"), ("GET", "/wp-includes/js/jquery/jquery.min.js?ver=3.7.1"),
            ("GET", "/blog/wp-includes/css/dist/block-library/style.min.css"), ("POST", "/?wc-ajax=get_refreshed_fragments"),
            ("POST", f"/wp-admin/admin-ajax.php?action={self.draw.choice(['woocommerce_add_to_cart', 'elementor_pro_forms_send_form', 'get_variation', 'load_more_posts'])}"),
            ("GET", f"/wp-json/wc/store/v1/products?per_page=12&page={self.draw.randrange(9)}"), ("POST", "/wp-json/wc/store/v1/cart/add-item"),
            ("GET", f"/wp-json/wp/v2/posts?search={quote(self._phrase())}&_fields=id,title"), ("GET", "/feed/"), ("GET", "/wp-login.php?action=lostpassword"),
            ("GET", f"/catalogsearch/result/?q={quote_plus(self._phrase())}"), ("GET", f"/catalog/product/view/id/{self.draw.randrange(9999)}/category/3/"),
            ("GET", f"/static/version{self.draw.randrange(10**10)}/frontend/Magento/luma/en_US/requirejs/require.js"), ("POST", "/rest/default/V1/guest-carts/abc/items"),
            ("GET", "/customer/section/load/?sections=cart%2Cmessages&force_new_section_timestamp=true&_=1772445600123"), ("POST", "/customer/account/loginPost/"),
            ("GET", f"/products/{self.draw.choice(WORDS)}-shirt?variant={self.draw.randrange(10**13)}&_pos=1&_sid=ab12&_ss=r"), ("GET", "/collections/all/products.json?limit=250"),
            ("GET", f"/cdn/shop/files/{self.draw.choice(WORDS)}.jpg?v=1772445600&width=720"), ("POST", "/cart/add.js"), ("GET", "/recommendations/products.json?product_id=1&limit=4"),
            ("GET", "/index.php?route=product/product&product_id=42"), ("GET", f"/index.php?fc=module&module=ps_wishlist&controller=action&id={self.draw.randrange(99)}"),
            ("GET", f"/detail/{self.draw.randbytes(16).hex()}"), ("GET", f"/widgets/checkout/info?{self._token(4)}"), ("POST", "/store-api/product-listing/abc?p=2"),
            ("GET", "/actuator/health"), ("GET", "/api/version"), ("GET", "/healthz"), ("GET", "/metrics"), ("GET", "/c/kettle/steel"), ("GET", "/pods"), ("GET", "/hc/en-us/articles/12"),
            ("POST", "/account/sessions"), ("GET", "/product/info"), ("GET", "/remote/control-cars"), ("GET", "/c/dvr/"), ("GET", "/c/nas/"), ("GET", "/c/hue/"), ("GET", "/c/spark/"),
            ("GET", "/.well-known/openid-configuration"), ("GET", "/.well-known/acme-challenge/abc"), ("GET", "/apple-touch-icon-precomposed.png"), ("GET", "/ads.txt"), ("GET", "/sitemap_index.xml"),
            ("GET", "/login?returnUrl=%2Fhome%2Findex.html"), ("GET", "/help/search?term=config"), ("GET", "/api/v1/settings"), ("GET", "/admin/orders?status=open&export=0"),
        ])  # fmt: skip
